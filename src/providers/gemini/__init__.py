"""Google Gemini: chat and embeddings. Importing this package is cheap; Google's SDK is loaded with the first call.

`wire.py` is the only module of the product that imports the SDK (docs/decisions/gemini-sdk.md says why).
"""

from providers.gemini.chat import GeminiChat
from providers.gemini.embeddings import GeminiEmbeddings

__all__ = ["GeminiChat", "GeminiEmbeddings"]
