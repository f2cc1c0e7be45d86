"""Models behind an OpenAI-compatible API: the vendor's own, and servers of one's own (llama.cpp, vLLM, Ollama …)."""

from providers.openai.chat import OpenAIChat
from providers.openai.connection import VENDOR_URL
from providers.openai.embeddings import OpenAIEmbeddings, space_of

__all__ = ["VENDOR_URL", "OpenAIChat", "OpenAIEmbeddings", "space_of"]
