"""Everything a process has, made from settings and closed in the opposite order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from answers.memory import Memory
from answers.pace import Pace
from answers.retrieval import Retriever
from answers.services import Services as ProducerServices
from answers.supervisor import AnswerSupervisor
from app.mail_links import require_mail_links
from core.errors import ConfigurationError
from core.keyed_locks import KeyedLocks
from core.opaque_tokens import OpaqueTokens
from core.security import TokenSigner
from core.settings import Settings
from core.tasks import see_through
from datastores.answer_cache import AnswerCache
from datastores.answer_log import AnswerLog
from datastores.answer_slots import AnswerSlots
from datastores.answer_stops import StopCalls
from datastores.audit_file import AuditFile
from datastores.context_cache import ContextCache
from datastores.conversation_news import ConversationNews
from datastores.document_news import DocumentNews
from datastores.live import LiveChannels
from datastores.postgres import Postgres
from datastores.query_vectors import QueryVectors
from datastores.rate_limits import RateLimiter
from datastores.rates import RateLimits, Subjects
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import make_cache, make_redis
from datastores.session_cache import SessionCache
from datastores.storage.opening import open_storage
from jobs.queue import JobQueue
from jobs.services import JobServices
from providers.mail.registry import mail_transport
from providers.registry import Providers
from resolvers.following.silence import SilenceWatch
from resolvers.following.topic import AnswerTopics
from resolvers.services import Rates, Services
from resolvers.standing import Standings
from resolvers.trusted_documents import TrustedDocuments

_END_SECONDS = 10.0
"""For running answers to finish or to be handed over, and their tasks to end."""


@asynccontextmanager
async def job_services(settings: Settings) -> AsyncGenerator[JobServices, None]:
    """What a worker has. Raises `ConfigurationError` when it is not set up safely."""
    async with AsyncExitStack() as stack:
        postgres = Postgres(settings)
        stack.push_async_callback(postgres.aclose)
        await postgres.refuse_unsafe_roles()
        redis = make_redis(settings)
        stack.push_async_callback(redis.aclose)
        queue = JobQueue(redis)
        stack.push_async_callback(queue.aclose)
        files = await stack.enter_async_context(open_storage(settings))
        providers = Providers(settings)
        stack.push_async_callback(providers.aclose)
        yield JobServices(
            settings=settings,
            postgres=postgres,
            redis=redis,
            files=files,
            providers=providers,
            queue=queue,
            document_news=DocumentNews(redis, RedisCircuit(told="redis_away_documents_are_not_told_of")),
            mail=mail_transport(settings),
        )


@dataclass(frozen=True, slots=True)
class Evictable:
    """Where a process has its caches. They share the circuit, so that one asker at a time waits where it hangs."""

    redis: Redis
    circuit: RedisCircuit


@asynccontextmanager
async def evictable(settings: Settings, redis: Redis) -> AsyncGenerator[Evictable, None]:
    """The server whose keys may be evicted; where that is no other one, by the same connections."""
    # Never the circuit of what counts: that one takes a full server for one that is away, and its copies can be read.
    circuit = RedisCircuit(told="redis_away_caches_are_passed_over")
    if settings.redis_cache_url is None:
        yield Evictable(redis, circuit)
        return
    cache = make_cache(settings)
    try:
        yield Evictable(cache, circuit)
    finally:
        await cache.aclose()


def producer_services(
    settings: Settings, jobs: JobServices, cache: Evictable, circuit: RedisCircuit, live: LiveChannels
) -> ProducerServices:
    """What a process needs that writes answers."""
    servers = [settings.openai_base_url, settings.anthropic_base_url, settings.gemini_endpoint]
    embedding_servers = [settings.openai_embedding_base_url, settings.openai_base_url, settings.gemini_endpoint]
    queries = QueryVectors(
        cache.redis, cache.circuit, ttl=settings.cache_ttl_query_embeddings, servers=embedding_servers
    )
    return ProducerServices(
        settings,
        # An answer that has begun is paid for: it is not given up because others ask.
        jobs.postgres.patient(),
        AnswerLog(jobs.redis, finished_ttl=settings.answer_log_ttl),
        AnswerSlots(jobs.redis, circuit, per_tenant=settings.rate_limit_concurrent_answers),
        jobs.providers,
        Retriever(queries, jobs.providers),
        Pace(settings),
        Memory(
            AnswerCache(cache.redis, cache.circuit, ttl=settings.cache_ttl_llm_responses, servers=servers),
            ContextCache(cache.redis, cache.circuit, ttl=settings.cache_ttl_conversations),
        ),
        live,
        ConversationNews(jobs.redis, circuit),
    )


@asynccontextmanager
async def answer_supervisor(
    services: ProducerServices, *, sweeping: bool = True
) -> AsyncGenerator[AnswerSupervisor, None]:
    """What writes answers in this process, and takes over those that others have left."""
    supervisor = AnswerSupervisor(services)
    if sweeping:
        await supervisor.start()
    try:
        yield supervisor
    finally:
        # Whoever ends us may cancel again and again: half an end would leave a sweep's connection open.
        await see_through(supervisor.aclose(), _END_SECONDS)


@asynccontextmanager
async def api_services(settings: Settings, *, sweeping: bool = True) -> AsyncGenerator[Services, None]:
    """What an API process has. Running answers are cancelled first, the pools they use are closed last.

    A process that is here for a moment must not sweep: it would take answers over and leave them unfinished.
    """
    require_mail_links(settings)
    async with AsyncExitStack() as stack:
        jobs = await stack.enter_async_context(job_services(settings))
        await jobs.providers.check()
        live = LiveChannels(jobs.redis)
        await live.start()
        stack.push_async_callback(live.aclose)
        circuit = RedisCircuit()
        cache = await stack.enter_async_context(evictable(settings, jobs.redis))
        producing = producer_services(settings, jobs, cache, circuit, live)
        supervisor = await stack.enter_async_context(answer_supervisor(producing, sweeping=sweeping))
        topics = AnswerTopics(live, producing.answer_log, jobs.postgres)
        silence = SilenceWatch(topics, producing.answer_log, jobs.postgres)
        await silence.start()
        stack.push_async_callback(silence.aclose)
        audit_file = AuditFile(settings.data_dir / "logs" / "audit.log")
        stack.push_async_callback(audit_file.aclose)
        sessions = SessionCache(cache.redis, jobs.redis, cache.circuit, ttl=settings.cache_ttl_sessions)
        stack.push_async_callback(sessions.aclose)
        yield Services(
            settings=settings,
            signer=signer(settings),
            tokens=OpaqueTokens(_secret(settings)),
            standings=Standings(jobs.postgres, sessions, live),
            postgres=jobs.postgres,
            redis=jobs.redis,
            answer_log=producing.answer_log,
            live=live,
            topics=topics,
            files=jobs.files,
            providers=jobs.providers,
            retriever=producing.retriever,
            queue=jobs.queue,
            supervisor=supervisor,
            trusted=TrustedDocuments(jobs.postgres, ttl=settings.cache_ttl_trusted_documents),
            rates=Rates(RateLimiter(jobs.redis, circuit), RateLimits.of(settings), Subjects(_secret(settings))),
            slots=producing.slots,
            keys=KeyedLocks(),
            news=producing.news,
            stop_calls=StopCalls(jobs.redis, RedisCircuit(told="redis_away_stops_wait_for_a_look")),
            document_news=DocumentNews(jobs.redis, circuit),
            audit_file=audit_file,
        )


def signer(settings: Settings) -> TokenSigner:
    """The process's token signer. Raises `ConfigurationError` without a good SECRET_KEY."""
    try:
        return TokenSigner(_secret(settings), access_ttl=settings.access_token_ttl)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _secret(settings: Settings) -> str:
    if settings.secret_key is None:
        raise ConfigurationError("SECRET_KEY: not set. Give at least 32 random characters; `make run` makes its own.")
    return settings.secret_key.get_secret_value()
