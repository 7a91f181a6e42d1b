"""Reading settings: which source wins, what an error says, and that every setting is reachable."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicante.clock import SystemClock
from replicante.config import LogFormat, PeerConfig
from replicante.config_load import Loaded, Source, load
from replicante.config_schema import plain, settings
from replicante.entropy import SystemEntropy
from replicante.errors import InvalidConfig
from replicante.pki import PkiFolder

REQUIRED = {"peer.id": "p1", "peer.data_dir": "/data"}


def loaded(
    tmp_path: Path, text: str = "", environment: dict[str, str] | None = None, **flags: str | None
) -> Loaded:
    file = tmp_path / "peer.toml"
    file.write_text(text, encoding="utf-8")
    given = {**REQUIRED, **{name.replace("__", "."): value for name, value in flags.items()}}
    return load(file=file, environment=environment or {}, flags=given)


def refusal(*args: object, **kwargs: object) -> str:
    with pytest.raises(InvalidConfig) as caught:
        loaded(*args, **kwargs)
    return caught.value.message


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_default(tmp_path):
    text = '[raft]\nheartbeat_ms = 50\nelection_ms_min = 500\nlisten = "127.0.0.1:1"\n'
    environment = {"REPLICANTE_RAFT__ELECTION_MS_MIN": "501", "REPLICANTE_RAFT__LISTEN": "[::1]:2"}
    result = loaded(tmp_path, text, environment, raft__listen="localhost:3")
    raft = result.config.raft
    assert (raft.heartbeat_ms, raft.election_ms_min, raft.election_ms_max) == (50, 501, 1200)
    assert raft.listen == "localhost:3"
    assert [
        result.origins[f"raft.{key}"].source
        for key in ("election_ms_max", "heartbeat_ms", "election_ms_min", "listen")
    ] == [Source.DEFAULT, Source.FILE, Source.ENVIRONMENT, Source.FLAG]


def test_an_origin_says_where_exactly(tmp_path):
    result = loaded(tmp_path, "[raft]\nheartbeat_ms = 50\n", {"REPLICANTE_HTTP__LISTEN": "[::1]:2"})
    assert str(result.origins["raft.heartbeat_ms"]) == f"file {tmp_path / 'peer.toml'}"
    assert str(result.origins["http.listen"]) == "environment REPLICANTE_HTTP__LISTEN"
    assert str(result.origins["peer.id"]) == "flag --peer-id"
    assert str(result.origins["peer.cluster"]) == "default"


def test_every_setting_can_be_given_in_a_file_and_as_text():
    for setting in settings():
        default = plain(setting.default)
        if default is None:
            continue
        text = ",".join(default) if isinstance(default, list) else str(default)
        assert setting.read(default) == setting.read_text(text) == setting.default, setting.name


def test_no_file_is_needed():
    config = load(file=None, environment={}, flags=REQUIRED).config
    assert config.peer.data_dir == Path("/data")
    assert config.storage == PeerConfig().storage


def test_lists_sizes_and_choices_are_read_from_text(tmp_path):
    environment = {
        "REPLICANTE_RAFT__PEERS": "p2=127.0.0.1:2, p3=127.0.0.1:3",
        "REPLICANTE_STORAGE__LOG_MAP_BYTES": "2GiB",
        "REPLICANTE_TELEMETRY__LOG_FORMAT": "console",
    }
    config = loaded(tmp_path, '[storage]\nstate_map_bytes = "256MiB"\n', environment).config
    assert config.raft.peers == ("p2=127.0.0.1:2", "p3=127.0.0.1:3")
    assert config.storage.log_map_bytes == 2 << 30
    assert config.storage.state_map_bytes == 256 << 20
    assert config.telemetry.log_format is LogFormat.CONSOLE


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("[raft]\nlisen = 1\n", "raft.listen"),
        ("[rafd]\nlisten = 1\n", "raft"),
        ("[storage]\nflush_ms = 1\n", "storage.flush_interval_ms"),
        ("hhtp = 1\n", "http"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(tmp_path, text, nearest):
    assert f"the nearest is {nearest}" in refusal(tmp_path, text)


def test_a_key_unlike_any_other_lists_what_there_is(tmp_path):
    assert "known are http, peer, raft, storage, telemetry, workers" in refusal(
        tmp_path, "zzz = 1\n"
    )


@pytest.mark.parametrize("variable", ["REPLICANTE_RAFT__LISEN", "REPLICANTE_RAFT_LISTEN"])
def test_a_mistyped_variable_names_the_nearest_valid_one(tmp_path, variable):
    message = refusal(tmp_path, "", {variable: "127.0.0.1:1"})
    assert "the nearest is REPLICANTE_RAFT__LISTEN" in message


def test_variables_of_others_are_ignored(tmp_path):
    environment = {"REPLICANTE_ENDPOINTS": "x", "REPLICANTE_SERVICE_HOST": "x", "PATH": "x"}
    assert loaded(tmp_path, "", environment).config.peer.id == "p1"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('[raft]\nheartbeat_ms = "fast"\n', "must be a whole number"),
        ("[raft]\nheartbeat_ms = true\n", "must be a whole number"),
        ("[raft]\nheartbeat_ms = 1.5\n", "must be a whole number"),
        (f"[raft]\nheartbeat_ms = 0x{'f' * 9000}\n", "at most 64 bits"),
        ("[raft]\npeers = [1]\n", "must be a text"),
        ('[raft]\npeers = "p2=127.0.0.1:2"\n', "must be a list of texts"),
        ("[raft]\nlisten = 16116\n", "must be a text"),
        ('[telemetry]\nlog_format = "xml"\n', "must be one of console, json"),
        ('[storage]\nlog_map_bytes = "2GB"\n', "KiB, MiB or GiB"),
        ("peer = 3\n", "must be a table: write [peer]"),
    ],
)
def test_a_wrong_type_names_the_rule_and_the_file(tmp_path, text, rule):
    message = refusal(tmp_path, text)
    assert rule in message
    assert "(file " in message


def test_a_wrong_type_in_text_names_the_variable_or_the_flag(tmp_path):
    environment = {"REPLICANTE_RAFT__HEARTBEAT_MS": "fast"}
    message = refusal(tmp_path, "", environment, raft__election_ms_max="1e3")
    assert "(environment REPLICANTE_RAFT__HEARTBEAT_MS): must be a whole number" in message
    assert "(flag --raft-election-ms-max): must be a whole number" in message


def test_a_wrong_value_that_a_flag_replaces_is_no_problem(tmp_path):
    text = '[raft]\nheartbeat_ms = "fast"\n'
    assert loaded(tmp_path, text, raft__heartbeat_ms="90").config.raft.heartbeat_ms == 90


def test_broken_rules_and_unreadable_values_are_reported_together(tmp_path):
    text = '[raft]\nlisten = "10.0.0.1:1"\nheartbeat_ms = "x"\nunknown = 1\n[http]\nlisten = "x"\n'
    with pytest.raises(InvalidConfig) as caught:
        loaded(tmp_path, text)
    assert {problem["setting"] for problem in caught.value.details["problems"]} == {
        "raft.listen",
        "raft.heartbeat_ms",
        "raft.unknown",
        "http.listen",
    }
    assert caught.value.message.startswith("4 settings are not valid:")


@pytest.mark.parametrize(
    "text", ["[", "a = 1\na = 2\n", "a = " + "9" * 9000, "a = " + "[" * 5000 + "]" * 5000]
)
def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path, text):
    assert "peer.toml" in refusal(tmp_path, text)


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path):
    with pytest.raises(InvalidConfig, match="cannot be read: No such file"):
        load(file=tmp_path / "none.toml", environment={}, flags={})
    with pytest.raises(InvalidConfig, match="cannot be read: Is a directory"):
        load(file=tmp_path, environment={}, flags={})


def test_tls_files_are_judged_when_settings_are_read(tmp_path):
    pki = PkiFolder(tmp_path / "pki", clock=SystemClock(), entropy=SystemEntropy())
    pki.init("default", days=30)
    pki.issue("p1", days=30)
    pki.issue("p2", days=30)

    def given(peer_id: str) -> dict[str, str]:
        place = tmp_path / "pki" / "peers" / peer_id
        return {
            "raft__tls_certificate_file": str(place / "peer.crt"),
            "raft__tls_key_file": str(place / "peer.key"),
            "raft__tls_ca_file": str(place / "ca.crt"),
        }

    files = loaded(tmp_path, **given("p1")).config.raft.tls_files
    assert files is not None and files[1].name == "peer.key"
    said = refusal(tmp_path, **given("p2"))
    assert "raft.tls_certificate_file" in said
    assert "names peer p2 of cluster default, and this is peer p1" in said
    assert "flag --raft-tls-certificate-file" in said
    said = refusal(tmp_path, **(given("p1") | {"raft__tls_key_file": str(tmp_path / "none")}))
    assert "raft.tls_key_file" in said and "is no file" in said


@pytest.mark.parametrize("whom", ["agent", "platform"])
def test_the_files_for_agents_and_platforms_are_judged_too(tmp_path, whom):
    folder = PkiFolder(tmp_path / "pki", clock=SystemClock(), entropy=SystemEntropy())
    folder.init("default", days=30)
    folder.issue("p1", days=30)
    place = tmp_path / "pki" / "peers" / "p1"
    given = {
        f"workers__{whom}_tls_certificate_file": str(place / "peer.crt"),
        f"workers__{whom}_tls_key_file": str(place / "peer.key"),
        f"workers__{whom}_tls_ca_file": str(place / "ca.crt"),
    }
    workers = loaded(tmp_path, **given).config.workers
    assert getattr(workers, f"{whom}_tls_ca_file") == place / "ca.crt"
    (tmp_path / "broken").write_text("no certificate")
    for name in given:
        for path in (tmp_path / "none", tmp_path / "broken"):
            said = refusal(tmp_path, **(given | {name: str(path)}))
            assert f"workers.{whom}_tls_" in said and "cannot be used" in said
