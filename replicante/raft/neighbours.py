"""The other peers as this one meets them: links, greetings, who is welcome. Touches sockets through
transport.

Called by peer; hands inputs to its `Sink`. Rule: a message counts only if it comes from a
member of the present configuration under exactly its incarnation; everything else is dropped
here and reaches no decision.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from replicante import limits
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.errors import WrongIdentity
from replicante.ids import Incarnation, PeerId
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.beginning import Beginning
from replicante.raft.birth import BirthNote, decode_note
from replicante.raft.changes import Change, ChangeKind
from replicante.raft.claims import Claims
from replicante.raft.commit_thread import CommitThread
from replicante.raft.dialling import is_address
from replicante.raft.frames import Channel, FrameError, FrameFault, Hello, Refusal, RefusalCode
from replicante.raft.introduction import introduce, is_member
from replicante.raft.join_token import digest_of
from replicante.raft.joining import token_of
from replicante.raft.link_observations import (
    HelloRefused,
    LinkDown,
    LinkObservation,
    LinkRefused,
    LinkUp,
)
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.membership import NOBODY, Member, Roster
from replicante.raft.observations import Born, Observation, PeerRefused
from replicante.raft.patience import Patience
from replicante.raft.settings import PeerSettings
from replicante.raft.speakers import Speakers
from replicante.raft.transport import (
    LocalIdentity,
    Transport,
    TransportCallbacks,
    TransportSettings,
)
from replicante.raft.welcome import is_invited


class Sink(Protocol):
    """What a peer offers its neighbours; all on the loop's thread."""

    def receive(self, given: d.Input, *, size_bytes: int = 0) -> bool:
        """size_bytes: of a message, as it came. False: read no more until `resume`."""
        ...

    def born(self) -> None: ...

    def wants_to_join(self, change: Change) -> None:
        """An invited peer is here and no member yet; told again at each of its greetings."""
        ...

    def report(self, observation: Observation) -> None: ...

    def wake(self) -> None: ...


class Neighbours:
    def __init__(
        self,
        settings: PeerSettings,
        header: LogHeader,
        store: LmdbLog,
        *,
        clock: Clock,
        entropy: Entropy,
        sink: Sink,
    ) -> None:
        self._claims = Claims(clock)
        self._patience = Patience(clock)
        self._settings = settings
        self._sink = sink
        self._speakers = Speakers(settings.peers)
        self._speakers.born(header)
        self._http_addresses: dict[str, str] = {settings.peer_id: settings.http_address}
        self._connected: set[str] = set()
        self._known_born: dict[str, str] = {}
        """Peer id → the incarnation that said so."""
        self._failure: Exception | None = None
        self._is_started = False
        self._token = token_of(settings)
        self._beginning = Beginning(
            settings,
            header,
            store,
            token=self._token,
            locked=self._tell_note,
            born=self._born,
        )
        self._transport = Transport(
            TransportSettings(
                listen=settings.listen,
                server_ssl=settings.server_ssl,
                client_ssl=settings.client_ssl,
            ),
            self._local_identity(),
            TransportCallbacks(
                judge=self._judge,
                on_hello=self._on_hello,
                on_message=self._on_message,
                observe=self._observe,
            ),
            entropy=entropy,
        )

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises AddressInUse, InvalidConfig."""
        await self._transport.start()
        self._is_started = True
        self._watch = asyncio.create_task(self._watch_transport(), name="raft-transport-watch")
        self._dial()
        self._sink.wake()

    async def stop(self) -> None:
        if self._is_started:
            await self._transport.stop()
            await self._watch

    async def _watch_transport(self) -> None:
        """A bug in a callback ends the transport; then it ends the peer, loudly."""
        try:
            await self._transport.wait_closed()
        except Exception as error:  # noqa: BLE001 - handed to the peer, which raises it
            self._failure = error
            self._sink.wake()

    def check(self) -> None:
        """Raises what another peer's word means for this one: it must not start."""
        if self._failure is not None:
            raise self._failure

    async def advance_birth(self, committer: CommitThread) -> None:
        """Writes what birth asks for; tells others each time."""
        await self._beginning.advance(committer)

    def _born(self) -> None:
        self._speakers.born(self.header)
        self._sink.born()
        self._tell_note()
        voters = tuple(member.peer_id for member in self._speakers.roster.configuration.voters)
        self._sink.report(Born(cluster_id=self.header.cluster_id, voters=voters))

    # --- use ---------------------------------------------------------------------------------

    @property
    def header(self) -> LogHeader:
        return self._beginning.header

    def set_roster(self, roster: Roster) -> None:
        """Who may speak: when that changed, links that stand are judged again."""
        if roster is self._speakers.roster:
            return
        links = self._connected if self._speakers.roster is NOBODY else ()
        former = self._speakers.follow(roster)
        self._transport.update_local(self._local_identity())
        for peer_id in former:
            self._transport.renew(PeerId(peer_id), "it is no member any more")
        for peer_id in links:
            self._tell_link(peer_id, is_up=True)
        if self._is_started:
            self._dial()

    def send(self, messages: list[tuple[str, m.Message]]) -> None:
        for key, message in messages:
            peer_id = key.partition("/")[0]
            if self._speakers.key_of(peer_id) == key:
                self._transport.send(
                    PeerId(peer_id), m.channel_of(message), m.encode_message(message)
                )

    def resume(self) -> None:
        self._transport.resume_reading()

    def hold_bulk(self, *, is_held: bool) -> None:
        """As leader, while too many commands wait: acknowledgements and votes are read on."""
        self._transport.hold(frozenset((Channel.BULK,)) if is_held else frozenset())

    def is_connected(self, peer_id: str) -> bool:
        return peer_id in self._connected

    def is_guest(self, key: str) -> bool:
        return self._speakers.is_guest(key)

    def tell_refused(self, peer_id: str, message: str) -> None:
        """An invited peer cannot be added now."""
        self._sink.report(
            PeerRefused(peer_id=peer_id, code=RefusalCode.TOKEN.value, message=message)
        )

    def address_of(self, member: Member) -> str:
        return self._speakers.address_of(member)

    def http_address_of(self, peer_id: str) -> str:
        return self._http_addresses.get(peer_id, "")

    # --- callbacks of the transport ----------------------------------------------------------

    def _judge(self, hello: Hello, *, is_inbound: bool) -> Refusal | None:
        refusal = self._beginning.judge(hello, self._speakers.roster)
        if refusal is None and is_inbound:
            key = f"{hello.peer_id}/{hello.incarnation}"
            if not self._claims.may_speak(key, hello.process):
                return Refusal(
                    code=RefusalCode.IDENTITY_CLASH,
                    message=f"another process speaks for {hello.peer_id} already, on the same"
                    " data directory or on a copy; a copied directory is no backup and no new peer",
                )
        return refusal

    def _on_hello(self, hello: Hello, refusal: Refusal | None) -> None:
        if refusal is not None:
            return
        self._http_addresses[hello.peer_id] = hello.http_address
        speaker = Member(hello.peer_id, hello.incarnation, hello.raft_address)
        if self._speakers.greeted(speaker):
            self._dial()
        if self._beginning.is_over and not self._speakers.roster.knows(speaker.key):
            self._welcome(speaker, hello)
        note = decode_note(hello.birth)
        if note is not None:
            self._meet(hello.peer_id, hello.incarnation, hello.raft_address, note)

    def _welcome(self, guest: Member, hello: Hello) -> None:
        if self._speakers.welcome(guest):
            self._dial()
        if hello.channel is Channel.VITAL and is_invited(hello, self._speakers.roster):
            change = Change(
                kind=ChangeKind.ADD_LEARNER,
                peer_id=guest.peer_id,
                incarnation=guest.incarnation,
                address=guest.raft_address,
                digest=digest_of(hello.join),
            )
            self._sink.wants_to_join(change)

    def _on_message(
        self, peer_id: PeerId, incarnation: Incarnation, channel: Channel, body: bytes
    ) -> None:
        message = m.decode_message(body)
        if isinstance(message, m.BirthNotice):
            note = decode_note(message.note)
            if note is None:
                raise FrameError(FrameFault.MALFORMED, "a birth notice without a note")
            if not self._beginning.is_over:
                address = self._settings.expected.get(peer_id, "")
                self._meet(peer_id, incarnation, address, note)
            elif not note.is_born:
                self._send_note(peer_id)
            else:
                self._heard_born(peer_id, incarnation)
            return
        key = f"{peer_id}/{incarnation}"
        if not (self._beginning.is_over and self._speakers.knows(key)):
            return  # an unborn peer takes no part, and a stranger never does
        if not self._sink.receive(d.Received(key, message), size_bytes=len(body)):
            self._transport.pause_reading()

    def _observe(self, observation: LinkObservation) -> None:
        match observation:
            case LinkUp(is_inbound=True) | LinkDown(is_inbound=True):
                key = f"{observation.peer_id}/{observation.incarnation}"
                self._claims.link_changed(key, is_up=isinstance(observation, LinkUp))
                if not self._claims.has_links(key) and self._speakers.part_from(key):
                    self._dial()
            case LinkUp(is_inbound=False):
                self._patience.rewarded(observation.peer_id)
                self._link_changed(observation.peer_id)
                if observation.channel is Channel.VITAL:
                    self._send_note(observation.peer_id)
            case LinkDown(is_inbound=False):
                self._link_changed(observation.peer_id)
            case LinkRefused(follows_loss=True):
                lost = self._speakers.key_of(observation.peer_id)
                if self._beginning.is_over and lost is not None:
                    self._sink.receive(d.LinkRefused(lost))
            case HelloRefused(is_ours=False):
                self._refused(observation)
            case HelloRefused(
                is_ours=True,
                is_inbound=False,
                code=RefusalCode.CLUSTER_ID | RefusalCode.GENERATION,
            ):
                failure = self._beginning.wrong(observation)
                if failure is not None and self._failure is None:
                    self._failure = failure
                    self._sink.wake()
        self._sink.report(observation)

    # --- below -----------------------------------------------------------------------------------

    def _refused(self, observation: HelloRefused) -> None:
        self._sink.report(
            PeerRefused(
                peer_id=observation.peer_id,
                code=observation.code.value,
                message=observation.message,
            )
        )
        failure = self._patience.failure(
            observation,
            is_unborn=not self._beginning.is_over,
            is_joining=self._token is not None,
        )
        if failure is not None:
            self._failure = failure
            self._sink.wake()

    def _link_changed(self, peer_id: str) -> None:
        is_up = all(self._transport.is_connected(PeerId(peer_id), channel) for channel in Channel)
        if is_up == (peer_id in self._connected):
            return
        (self._connected.add if is_up else self._connected.discard)(peer_id)
        self._tell_link(peer_id, is_up=is_up)

    def _heard_born(self, peer_id: str, incarnation: str) -> None:
        """What was told to it before was lost, as by a link that broke: it took no part yet."""
        if self._known_born.get(peer_id) != incarnation:
            self._known_born[peer_id] = incarnation
            if peer_id in self._connected:
                self._tell_link(peer_id, is_up=True)

    def _tell_link(self, peer_id: str, *, is_up: bool) -> None:
        key = self._speakers.key_of(peer_id)
        if self._beginning.is_over and key is not None:
            self._sink.receive(d.LinkChanged(key, is_up))

    def _meet(self, peer_id: str, incarnation: str, address: str, note: BirthNote) -> None:
        if self._beginning.is_over or self._failure is not None:
            return
        try:
            self._beginning.meet(Member(peer_id, incarnation, address), note)
        except WrongIdentity as error:
            self._failure = error
        self._sink.wake()

    def _tell_note(self) -> None:
        """To whoever can hear it, though its second link is not up yet: it is told once."""
        self._transport.update_local(self._local_identity())
        for peer_id in self._transport.dialled:
            self._send_note(peer_id)

    def _send_note(self, peer_id: str) -> None:
        body = m.encode_message(m.BirthNotice(note=self._beginning.note.encode()))
        self._transport.send(PeerId(peer_id), Channel.VITAL, body)

    def _local_identity(self) -> LocalIdentity:
        roster = self._speakers.roster
        return introduce(
            self.header, self._settings, roster, note=self._beginning.note, token=self._token
        )

    def _dial(self) -> None:
        """Guests, members, and who is named in the settings until this peer is a member."""
        is_inside = is_member(self.header, self._speakers.roster)
        named = {} if is_inside else self._settings.expected
        members = {it.peer_id: self.address_of(it) for it in self._speakers.roster.known}
        guests = {it.peer_id: it.raft_address for it in self._speakers.guests}
        peers = {
            PeerId(name): address
            for name, address in (named | guests | members).items()
            if name != self._settings.peer_id and is_address(address)
        }
        self._transport.set_peers(dict(list(peers.items())[-limits.PEERS_MAX :]))
