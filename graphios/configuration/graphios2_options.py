"""The options of Graphios 2: which there were, and how their values are meant."""

from __future__ import annotations

from pathlib import Path

_NERF = "has no effect: no backend holds up or repeats another one here"
_LOG = "has no effect: the log goes to standard error, which is the journal under systemd"
_BATCHES = "has no effect: batches are measured in bytes"
_LIBRATO = "has no effect: Librato is not supported, and is no more"

NO_EFFECT = {
    "log_file": _LOG,
    "log_max_size": _LOG,
    "sleep_max": "has no effect, as in Graphios 2: an unreachable backend is tried again after 0.05 to 30 s",
    "carbon_max_metrics": _BATCHES,
    "nerf_carbon": _NERF,
    "nerf_statsd": _NERF,
    "nerf_librato": _NERF,
    "nerf_influxdb": _NERF,
    "nerf_influxdb09": _NERF,
    "nerf_stdout": _NERF,
    "influxdb_max_metrics": _BATCHES,
    "influxdb_line_protocol": "has no effect: it is always the line protocol",
    "librato_email": _LIBRATO,
    "librato_token": _LIBRATO,
    "librato_whitelist": _LIBRATO,
    "librato_floor_time_secs": _LIBRATO,
    "librato_namevals": _LIBRATO,
    "librato_sourcevals": _LIBRATO,
}
"""Options Graphios 2 read (or shipped in its file) that do nothing here, and why."""

BELONGS_TO = {
    "spool_directory": "",
    "replacement_character": "",
    "log_level": "",
    "debug": "",
    "sleep_time": "",
    "test_mode": "",
    "use_service_desc": "",
    "replace_hostname": "",
    "reverse_hostname": "",
    "metric_base_path": "",
    "enable_carbon": "",
    "enable_statsd": "",
    "enable_librato": "",
    "enable_influxdb": "",
    "enable_influxdb09": "",
    "enable_stdout": "",
    "carbon_servers": "carbon",
    "carbon_plaintext": "carbon",
    "statsd_servers": "statsd",
    "influxdb_servers": "influxdb09",
    "influxdb_use_ssl": "influxdb09",
    "influxdb_db": "influxdb09",
    "influxdb_user": "influxdb09",
    "influxdb_password": "influxdb09",
    "influxdb_extra_tags": "influxdb09",
}
"""Options that have an effect here, each with the backend it is for."""


class Options:
    """The options of one file, and what is to be said of them."""

    def __init__(self, path: Path, options: dict[str, str]) -> None:
        self.path = path
        self.all = options
        self.warnings: list[str] = []

    def warn(self, name: str, what: str) -> None:
        """Notes that `what` is to be said of the option."""
        shown = "" if "password" in name or "token" in name or name not in self.all else f" = {self.all[name][:100]}"
        self.warnings.append(f"{self.path}: {name}{shown}: {what}")

    def text(self, name: str, default: str) -> str:
        """The option as it stands there."""
        return self.all.get(name, default)

    def is_true(self, name: str) -> bool:
        """Whether it is True. Other words than True and False were False for Graphios 2, silently."""
        word = self.all.get(name, "False")
        if word.lower() not in ("true", "false"):
            self.warn(name, "only True is yes in this file; this counts as False, as in Graphios 2")
        return word.lower() == "true"

    def is_set(self, name: str, default: bool) -> bool:
        """Whether it is True. For these options Graphios 2 took any other word but False, and not nothing, as True."""
        word = self.all.get(name, str(default))
        if word.lower() not in ("true", "false"):
            self.warn(name, f"only False is no in this file; this counts as {bool(word)}, as in Graphios 2")
        return bool(word) and word.lower() != "false"

    def concerns_something_enabled(self, name: str) -> bool:
        """Whether the backend that the option is for is enabled, or it is for none."""
        for backend in ("carbon", "statsd", "librato", "influxdb", "stdout"):
            if name.removeprefix("nerf_").startswith(backend):
                enabled = [self.all.get(f"enable_{backend}{version}", "").lower() for version in ("", "09")]
                return "true" in enabled
        return True
