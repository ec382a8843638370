"""What the checks of overlays and of a stats gatherer read, for the end-to-end test: files that are written anew all the time, and a visualizer."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime
from pathlib import Path

from checks.tahoe.measures import STATISTICS
from tests.ipop import overlay
from tests.seattle.web import Asked, WebServing, answer

OVERLAY = overlay.OVERLAYS[0]
LINK_RECORDS = 60
TUNNELS = 3
PEERS = ("172.31.0.102", "172.31.0.103", "172.31.0.104")
OPERATIONS = ("allocate", "write", "close", "get", "read")
PERCENTILES = ("01_0", "10_0", "50_0", "90_0", "95_0", "99_0", "99_9")
_SECONDS_BETWEEN_TWO = 0.5


class Sources(WebServing):
    """Files below `folder`, renewed twice a second from start() on, their counters higher each time; and as a server the visualizer of an overlay.

    The folder holds `ganglia` (the statistics directory of IPOP 14), `controller.json` (what evio sends), `sys` (its tap devices), and
    `stats.json` (of Tahoe-LAFS's stats gatherer).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._begun = time.time()
        self._dead = threading.Event()
        self._writer = threading.Thread(target=self._renew_on, daemon=True)

    def start(self) -> None:
        """Writes everything once, and goes on."""
        self.renew()
        self._writer.start()
        super().start()

    def die(self) -> None:
        """From now on nothing is renewed."""
        self._dead.set()
        self._writer.join()

    def stop(self) -> None:
        """Ends all of it."""
        self.die()
        super().stop()

    def _renew_on(self) -> None:
        while not self._dead.wait(_SECONDS_BETWEEN_TWO):
            self.renew()

    def renew(self) -> None:
        """Writes every file."""
        self._put("ganglia/peer_list_ganglia.json", json.dumps(PEERS))
        for number, peer in enumerate(PEERS):
            self._put(f"ganglia/{peer}_ganglia_data.json", json.dumps(self._peer_state(number, peer)))
        sent = overlay.evio(TUNNELS, moment=time.time())
        self._put("controller.json", overlay.deflated(sent))
        for number, tunnel in enumerate(sent["VizData"][OVERLAY]["Tunnels"].values()):
            folder = f"sys/class/net/{tunnel['TapName']}"
            self._put(f"{folder}/ifindex", f"{number + 7}\n")
            for counter, a_second in (("rx_bytes", 3000), ("tx_bytes", 500)):
                self._put(f"{folder}/statistics/{counter}", f"{self._grown(a_second)}\n")
        self._put("stats.json", json.dumps(self._gathered()))

    def respond(self, asked: Asked) -> bytes:
        """The newest links of the overlay."""
        path, _, query = asked.path.partition("?")
        if path != f"/IPOP/overlays/{OVERLAY}/links" or "current_state=True" not in query:
            return answer(b"no such page", "404 NOT FOUND")
        links = overlay.visualizer(LINK_RECORDS, moment=time.time())["Links"][OVERLAY]
        document = {OVERLAY: {"current_state": links}, "intervalNo": str(datetime.now())}
        return answer(json.dumps(document).encode(), kind="application/json")

    def _put(self, name: str, text: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.replace(path)

    def _grown(self, a_second: int) -> int:
        return int(a_second * (time.time() - self._begun + 100))

    def _peer_state(self, number: int, peer: str) -> dict[str, object]:
        age = int(time.time() - self._begun) + 700
        state: dict[str, object] = {
            "type": "peer_state",
            "uid": f"{number:040x}",
            "ip4": peer,
            "fpr": "ab",
            "last_time": age,
        }
        if number == len(PEERS) - 1:
            return state | {"status": "offline", "xmpp_time": 40}
        kind = ("stun", "relay")[number]
        pair = {"best_conn": True, "rtt": 23, "recv_total_bytes": self._grown(2000), "sent_total_bytes": self._grown(700),
                "local_addr": "192.0.2.10:42100", "rem_addr": "198.51.100.7:50001", "local_type": kind, "rem_type": kind,
                "new_conn": False, "readable": True, "timeout": False, "writable": True}  # fmt: skip
        return state | {"status": "online", "security": "dtls", "xmpp_time": 5, "stats": [pair]}

    def _gathered(self) -> dict[str, object]:
        """Two nodes that report everything any version ever did."""
        statistics = {
            "counters": {one.key: self._grown(100) for one in STATISTICS if one.counted},
            "stats": {one.key: 0.25 for one in STATISTICS if not one.counted}
            | {f"storage_server.latencies.{one}.samplesize": 1000 for one in OPERATIONS}
            | {f"storage_server.latencies.{one}.mean": 0.002 for one in OPERATIONS}
            | {f"storage_server.latencies.{one}.{two}_percentile": 0.003 for one in OPERATIONS for two in PERCENTILES}
            | {"storage_server.disk_total": 10**12, "storage_server.disk_avail": 6 * 10**11}
            | {"node.uptime": self._grown(1), "storage_server.accepting_immutable_shares": 1},
        }
        nodes = (("mjc3ebkjy5l4zjvs6mfubg2pdknvo7kk", "old1"), ("kq7xebkjy5l4zjvs6mfubg2pdknvo7kk", "old 2"))
        return {tubid: {"timestamp": time.time(), "nickname": name, "stats": statistics} for tubid, name in nodes}
