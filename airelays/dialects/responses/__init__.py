"""`/v1/responses` as clients speak it. Layer: rules."""
