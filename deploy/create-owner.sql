-- Run once, by psql, as the superuser of an empty PostgreSQL server with pgvector; OWNER_PASSWORD is in the environment.
-- The superuser is needed for this alone. `colloquy migrate` goes on as colloquy_owner and makes the other two roles.

\getenv owner_password OWNER_PASSWORD
CREATE ROLE colloquy_owner LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE DATABASE colloquy OWNER colloquy_owner;

\connect colloquy
-- pgvector is not a trusted extension: an ordinary role may not create it.
CREATE EXTENSION vector;
