"""Work that outlives a request: arq jobs and the typed queue. The job is a row in PostgreSQL; arq is its wake-up."""
