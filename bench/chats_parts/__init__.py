"""The parts of bench/chats.py: a provider, a bare proxy to compare with, and the clients of both."""
