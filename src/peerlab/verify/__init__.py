"""Pure judgement: evidence in, findings out."""
