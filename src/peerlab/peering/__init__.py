"""Pure Microsoft.Peering: resources, state tables, addressing, validation rules."""
