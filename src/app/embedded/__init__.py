"""PostgreSQL and Redis from their wheels, run as child processes inside the data folder."""
