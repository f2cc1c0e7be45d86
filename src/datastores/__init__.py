"""Every byte of I/O to PostgreSQL, Redis and the disk: models, migrations, records, queries, the answer log."""
