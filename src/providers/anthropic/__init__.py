"""Anthropic's models, by its Messages API."""

from providers.anthropic.chat import VENDOR_URL, AnthropicChat

__all__ = ["VENDOR_URL", "AnthropicChat"]
