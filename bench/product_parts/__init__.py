"""How benches start the product."""
