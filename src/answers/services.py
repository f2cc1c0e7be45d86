"""What writing answers needs of the process."""

from __future__ import annotations

from dataclasses import dataclass

from answers.memory import Memory
from answers.pace import Pace
from answers.retrieval import Retriever
from core.settings import Settings
from datastores.answer_log import AnswerLog
from datastores.answer_slots import AnswerSlots
from datastores.conversation_news import ConversationNews
from datastores.live import LiveChannels
from datastores.postgres import Postgres
from providers.registry import Providers


@dataclass(slots=True)
class Services:
    """Made once at start-up."""

    settings: Settings
    postgres: Postgres
    answer_log: AnswerLog
    slots: AnswerSlots
    providers: Providers
    retriever: Retriever
    pace: Pace
    memory: Memory
    live: LiveChannels
    news: ConversationNews
