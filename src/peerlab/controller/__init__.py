"""The management plane: plan, reconcile, provision."""
