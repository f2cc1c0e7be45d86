"""Retrieval: lexemes of chunks and questions, lexical search under the tenant, a partial HNSW index per model.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Dimensions of the embedding models that ship. A model added later brings its index in a migration of its own.
MODELS = {"all-MiniLM-L6-v2": ("minilm", 384), "gemini-embedding-001@768": ("gemini_768", 768)}

FUNCTIONS = (
    # Both configurations: stems find "policies" for "policy", plain words find names and numbers as written.
    """
    CREATE FUNCTION chunk_lexemes(body text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT to_tsvector('english', body) || to_tsvector('simple', body) $$
    """,
    # The question's words joined by OR, less the stop words: most questions match nothing when all words must match.
    """
    CREATE FUNCTION lexical_query(question text) RETURNS tsquery
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
      SELECT COALESCE(string_agg(DISTINCT quote_literal(lexeme), ' | ')::tsquery, ''::tsquery)
      FROM (
        SELECT lexeme FROM unnest(to_tsvector('english', question))
        UNION
        SELECT lexeme FROM unnest(to_tsvector('simple', question))
        WHERE ts_lexize('english_stem', lexeme) IS DISTINCT FROM '{}'::text[]
      ) AS words
    $$
    """,
    # SECURITY DEFINER, because `@@` is not leakproof and so could not use the index under row-level security:
    # the function filters by the transaction's tenant itself. Normalisation 1 divides by 1 + log(length).
    """
    CREATE FUNCTION search_chunks(query tsquery, for_assistant uuid, max_rows integer)
    RETURNS TABLE (chunk_id uuid, rank real)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
      SELECT c.id, ts_rank(c.lexemes, query, 1)
      FROM chunks c JOIN documents d ON d.tenant_id = c.tenant_id AND d.id = c.document_id
      WHERE c.tenant_id = NULLIF(current_setting('colloquy.tenant_id', true), '')::uuid
        AND c.lexemes @@ query
        AND d.status = 'READY'
        AND (for_assistant IS NULL OR EXISTS (
          SELECT FROM assistant_documents a
          WHERE a.tenant_id = d.tenant_id AND a.assistant_id = for_assistant AND a.document_id = d.id))
      ORDER BY 2 DESC, c.id
      LIMIT max_rows
    $$
    """,
)


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(function)
    op.execute("REVOKE EXECUTE ON FUNCTION search_chunks FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION search_chunks TO colloquy_app")
    for model, (name, dimensions) in MODELS.items():
        op.execute(
            f"CREATE INDEX ix_embeddings_hnsw_{name} ON embeddings "
            f"USING hnsw ((vector::halfvec({dimensions})) halfvec_cosine_ops) WHERE model_id = '{model}'"
        )


def downgrade() -> None:
    for name, _ in MODELS.values():
        op.execute(f"DROP INDEX ix_embeddings_hnsw_{name}")
    op.execute("DROP FUNCTION search_chunks(tsquery, uuid, integer)")
    op.execute("DROP FUNCTION lexical_query(text)")
    op.execute("DROP FUNCTION chunk_lexemes(text)")
