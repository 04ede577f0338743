"""The composition root: names every concrete class, opens and closes them, and serves until it is told to stop."""

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TextIO

import structlog

from llmproxy_grpc.banner import Offer, announce
from llmproxy_grpc.calls import STREAM
from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.loader import EMBEDDED_MODEL, Loaded
from llmproxy_grpc.config.manager import ConfigManager, Reload
from llmproxy_grpc.config.schema import Config, ProviderConfig
from llmproxy_grpc.current import Current
from llmproxy_grpc.drain import Drain
from llmproxy_grpc.front import bare_door, front_door, servicers
from llmproxy_grpc.health.changes import Changes
from llmproxy_grpc.health.switchboard import Switchboard
from llmproxy_grpc.health.tracker import HealthTracker
from llmproxy_grpc.http.app import application
from llmproxy_grpc.http.listener import HttpListener
from llmproxy_grpc.operators import Operators
from llmproxy_grpc.providers import local, registry
from llmproxy_grpc.providers.discovery import discover, ollama_answers
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.records.keeping import Keeping, terms_of
from llmproxy_grpc.records.lines import openai_chat_line
from llmproxy_grpc.records.tally import Loss
from llmproxy_grpc.routing.catalog import DEFAULT
from llmproxy_grpc.routing.circuits import nobody
from llmproxy_grpc.routing.underway import Underway
from llmproxy_grpc.routing.vitals import Vitals
from llmproxy_grpc.runtime import Observers, Runtime
from llmproxy_grpc.server.grpc_health import SERVICE
from llmproxy_grpc.server.health import Load
from llmproxy_grpc.server.interceptors.admission import Admission
from llmproxy_grpc.server.interceptors.recording import RECORDED
from llmproxy_grpc.server.lasting import Lasting
from llmproxy_grpc.server.readiness import Phase, Readiness
from llmproxy_grpc.server.rpc import Servicer
from llmproxy_grpc.server.server import GrpcServer
from llmproxy_grpc.server.service import ADMIN, DESCRIPTOR, admin_service, health_service, proxy_service
from llmproxy_grpc.systemd import Notifier
from llmproxy_grpc.tasks import end, log_failure
from llmproxy_grpc.telemetry.logs import CallLog
from llmproxy_grpc.telemetry.loop_lag import LoopLag
from llmproxy_grpc.telemetry.memory import Memory
from llmproxy_grpc.telemetry.metrics import Metrics
from llmproxy_grpc.telemetry.pressure import Pressure
from llmproxy_grpc.workers.member import Member
from llmproxy_grpc.workers.outages import Outages
from llmproxy_grpc.workers.places import ADMIN_LISTEN, HEALTH_LISTEN, places_of
from llmproxy_grpc.workers.probes import share_probes
from llmproxy_grpc.workers.switchings import alone, share_switchings

log = structlog.get_logger(__name__)

ECHO_MODEL: Final = "echo/echo"
"""Stands in for the embedded model where that cannot run."""


class App:
    """The whole server: built from the configuration, rebuilt when that changes.

    Args:
        loaded: The configuration to start with.
        load: Reads it again.
        environ: The environment, where discovery looks for keys.
        output: Takes the addresses, the models and `ready`.
        build: Makes a provider of its configuration.
        member: Who this process is among several workers; None if it is alone.
    """

    def __init__(
        self,
        loaded: Loaded,
        load: Callable[[], Loaded],
        *,
        environ: Mapping[str, str],
        output: TextIO,
        build: registry.Build = registry.build,
        member: Member | None = None,
    ) -> None:
        self._build_provider = build
        self._member = member
        self._manager = ConfigManager(loaded, load, self._report_reload)
        self._began = loaded.config
        self._warnings = loaded.warnings
        self._environ = environ
        self._announce = partial(announce, output) if member is None else member.announce
        self._notifier = Notifier(environ if member is None else {})
        self._started = datetime.now(UTC)
        clock = time.monotonic
        changes = Changes()
        self._readiness = Readiness(changes.tell)
        self._tracker = HealthTracker(clock, lambda: datetime.now(UTC), changes.tell)
        self._switchboard = Switchboard()
        self._current = Current(lambda: self._runtime, self._tracker, self._switchboard.admits)
        families = None if member is None else member.families
        self._metrics = Metrics(self._current.knows_model, self._current.knows_provider, families)
        self._lag = LoopLag(self._metrics.loop_lag)
        self._pressure = Pressure(
            lag=self._lag.last_second,
            memory=Memory(loaded.config.grpc.workers).level,
            config=lambda: self._current.config().shedding,
        )
        self._unkept = Lasting(lambda: self._keeping is not None and not self._keeping.recorder.promises, clock)
        self._admission = Admission(self._current.config, self._pressure, clock, refused_before=self._unkept.look)
        underway = Underway()
        self._operators = Operators(
            self._current,
            changes,
            readiness=self._readiness,
            tracker=self._tracker,
            switchboard=self._switchboard,
            admission=self._admission,
            underway=underway,
        )
        vitals = Vitals(clock)
        watching = (vitals, self._tracker, self._metrics, CallLog(RECORDED))
        self._outages = (
            None if member is None else Outages(member.shared, self._current.configured, self._current.learn)
        )
        tell = nobody if self._outages is None else self._outages.tell
        self._observers = Observers(watching, self._tracker, vitals, self._switchboard, tell, underway)
        self.drain = Drain(self._readiness, self._admission, lambda: self._runtime.config.grpc)
        """Takes the wish to end."""
        self._runtime: Runtime
        self._keeping: Keeping | None = None
        self._beside: set[asyncio.Task[object]] = set()

    def stop(self) -> None:
        """Asks for a drain; asked again, for an end."""
        self.drain.stop()

    @property
    def ready(self) -> bool:
        """Whether new calls should come here."""
        return self._readiness.phase is Phase.SERVING and not self._admission.overloaded()

    async def reload(self) -> None:
        """Reads the configuration again."""
        with self._notifier.reloading():
            await self._manager.reload()

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains; a second signal ends at once.

        Raises:
            OSError: An address cannot be bound.
            ConfigError: A provider cannot be built.
            StoreUnfit: The store of records cannot be used by this version.
        """
        config = self._manager.config
        async with AsyncExitStack() as stack:
            if self._member is None:
                self._take_signals()
            self._runtime = await self._build(config)
            self._operators.configure(self._runtime)
            stack.push_async_callback(self._close_runtimes)
            await self._runtime.start()
            if config.records.enabled:
                number = 0 if self._member is None else self._member.number
                keeping = Keeping(terms_of(config.records, number), openai_chat_line)
                self._metrics.expect_records(keeping.tally.states(), (loss.value for loss in Loss))
                keeping.tally.watch(self._metrics.record)
                self._keeping = await stack.enter_async_context(keeping)
            if self._outages is not None:
                self._outages.follow()
            if self._member is not None:
                share_probes(self._member.shared, self._tracker, self._operators.monitor)
            servers = self._grpc_servers(config)
            for server, _ in servers:
                stack.push_async_callback(server.aclose)
            addresses = [await server.start(listen) for server, listen in servers]
            http_address = await self._start_http(stack, config)
            self._manager.subscribe(self._reload)
            self._background(stack)
            for warning in self._warnings:
                log.warning("config", advice=str(warning))
            if self.drain.wanted.is_set():
                return  # told to stop before anybody was served
            # What the start has made stays to the end: the collector need not walk it again and again.
            gc.collect()
            gc.freeze()
            self._readiness.enter(Phase.SERVING)
            self._announce(self._offer(addresses, http_address))
            self._notifier.ready()
            await self.drain.wanted.wait()
            self._notifier.stopping()
            await self.drain.run([server for server, _ in servers])

    async def _build(self, config: Config) -> Runtime:
        providers = await self._providers(config)
        if config.default_model == EMBEDDED_MODEL and not any(provider.kind == "local" for provider in providers):
            config = config.model_copy(update={"default_model": ECHO_MODEL})
        return await Runtime.build(config, providers, self._observers, self._build_provider)

    async def _providers(self, config: Config) -> Sequence[ProviderConfig]:
        """The configured providers, and what discovery finds besides them."""
        if config.discovery == "off":
            return config.providers
        configured = {provider.name for provider in config.providers}
        async with aclosing(HttpClient(connect_timeout=config.timeouts.connect)) as http:
            found = await discover(
                self._environ, ollama_reachable=partial(ollama_answers, http), local_available=local.available()
            )
        for skipped in found.skipped:
            log.warning("not_discovered", variable=skipped.variable, why=skipped.reason)
        return [*config.providers, *(provider for provider in found.providers if provider.name not in configured)]

    def _grpc_servers(self, config: Config) -> list[tuple[GrpcServer, Sequence[str]]]:
        """The main listener, and the plaintext ones for health and for operators if there are any."""
        bare = bare_door()
        health = health_service(bare, self._operators.grpc_health())
        door = front_door(self._current, self._keeping, self._admission, self._observers.calls)
        handlers = [proxy_service(door, self._methods()), health]
        member = self._member
        places = places_of(config) if member is None else member.places
        sharing = 0 if member is None else config.grpc.workers
        main = GrpcServer(config.grpc, handlers, described=(DESCRIPTOR.full_name, SERVICE), sharing=sharing)
        servers: list[tuple[GrpcServer, Sequence[str]]] = [(main, places.grpc)]
        if places.health is not None:
            server = GrpcServer(config.grpc, [health], key=HEALTH_LISTEN, plaintext=True, sharing=sharing)
            servers.append((server, [places.health]))
        if places.admin is not None:
            publish = alone if member is None else share_switchings(member.shared, self._switchboard)
            admin = admin_service(bare, self._operators.admin_servicer(publish).servicers())
            reflected = (ADMIN.full_name,)
            server = GrpcServer(
                config.grpc, [admin], key=ADMIN_LISTEN, described=reflected, plaintext=True, sharing=sharing
            )
            servers.append((server, [places.admin]))
        return servers

    def _methods(self) -> Mapping[str, Servicer]:
        kept = self._keeping
        health = self._operators.health_servicer(self._started, self._load, lambda: kept is None or kept.sound)
        return servicers(self._current, kept, self._admission, health=health, exported=self._metrics.exported)

    def _load(self) -> Load:
        in_flight = self._admission.in_flight
        streams = in_flight.get(STREAM, 0)
        return Load(sum(in_flight.values()) - streams, streams, self._admission.limit, self._lag.p99)

    async def _start_http(self, stack: AsyncExitStack, config: Config) -> str | None:
        if config.http.listen is None or self._member is not None:
            return None
        app = application(render_metrics=self._metrics.render, ready=lambda: self.ready)
        listener = HttpListener(app)
        stack.push_async_callback(listener.aclose)
        return await listener.start(config.http.listen)

    def _background(self, stack: AsyncExitStack) -> None:
        """Starts what runs beside the calls."""
        tasks = [
            asyncio.create_task(self._lag.run()),
            asyncio.create_task(self._pressure.run()),
            asyncio.create_task(self._manager.watch()),
            asyncio.create_task(self._notifier.watch()),
            asyncio.create_task(self._publish_gauges()),
            asyncio.create_task(self._operators.monitor.run()),
        ]
        for task in tasks:
            task.add_done_callback(log_failure)
        stack.push_async_callback(end, tasks)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self.drain.interrupt)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)

    def _on_reload_signal(self) -> None:
        if self._readiness.phase is not Phase.SERVING:
            log.info("reload_ignored", phase=self._readiness.phase.value)
            return
        self._run_beside(self.reload())

    async def _reload(self, _old: Config, new: Config) -> None:
        """Builds what the new configuration says, swaps one reference, and lets the old drain."""
        runtime = await self._build(new)
        runtime.remember(self._runtime)
        await runtime.start()
        replaced, self._runtime = self._runtime, runtime
        self._operators.configure(runtime)
        wanted = new.read_at_start()
        fixed = [name for name, section in self._began.read_at_start().items() if section != wanted[name]]
        if fixed:
            log.warning("restart_needed", sections=fixed, effect="they stay as they are until then")
        self._run_beside(replaced.aclose())

    def _run_beside(self, work: Coroutine[Any, Any, object]) -> None:
        """Runs a piece of work that the shutdown waits for."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        task.add_done_callback(log_failure)

    def _report_reload(self, result: Reload, faults: Sequence[ConfigFault]) -> None:
        if self._member is not None:
            self._member.reloaded(result, faults)
            return
        self._metrics.config_reloaded(result.value)
        write = log.error if result is Reload.REJECTED else log.info
        write("config_reload", result=result.value, faults=[str(fault) for fault in faults])

    async def _publish_gauges(self) -> None:
        """Tells the metrics, each second, what is so at the moment and no event tells."""
        while True:
            self._metrics.tasks(len(asyncio.all_tasks()))
            self._metrics.providers_up({name: self._tracker.serving(name) for name in self._runtime.providers})
            self._metrics.circuits(self._current.circuits())
            self._unkept.look()
            if (keeping := self._keeping) is not None:
                with suppress(OSError):  # a folder that cannot be read must not end what tells of the providers
                    self._metrics.spooled(keeping.spooled_bytes())
            await asyncio.sleep(1.0)

    def _offer(self, addresses: Sequence[Sequence[str]], http_address: str | None) -> Offer:
        runtime = self._runtime
        config, to_try = runtime.config, runtime.to_try()
        tls = config.grpc.tls
        return Offer(
            grpc=addresses[0],
            health=addresses[1][0] if config.grpc.health_listen is not None else None,
            http=http_address,
            admin=addresses[-1][0] if config.admin.listen is not None else None,
            secure=tls is not None,
            mutual=tls is not None and tls.client_ca is not None,
            models=runtime.catalog.listed(),
            to_try="" if to_try == DEFAULT else to_try,
            echoes=runtime.echoes(to_try),
            default_echoes=runtime.echoes(DEFAULT),
            records="off" if self._keeping is None else str(self._keeping),
        )

    async def _close_runtimes(self) -> None:
        """Closes the current runtime, after those that reloads have left behind."""
        while self._beside:  # a reload that ends now leaves a runtime behind
            await asyncio.gather(*self._beside, return_exceptions=True)
        await self._runtime.aclose()
