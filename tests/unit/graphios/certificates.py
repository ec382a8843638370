"""An authority, and certificates of a receiver on loopback and of a client, for the length of a test run."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificates(NamedTuple):
    """Files in PEM; certificate and key of one are in one file."""

    authority: Path
    server: Path
    client: Path


def make(folder: Path) -> Certificates:
    """Makes them with openssl."""
    _openssl(
        "req",
        "-x509",
        *_key(folder, "authority"),
        "-days",
        "2",
        "-subj",
        "/CN=authority",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
        "-out",
        folder / "authority.crt",
    )
    for name in ("server", "client"):
        _openssl("req", *_key(folder, name), "-subj", f"/CN={name}", "-out", folder / f"{name}.csr")
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n"
        # Python from 3.13 on takes no certificate without it.
        (folder / "names").write_text(f"{names}authorityKeyIdentifier=keyid\n", encoding="ascii")
        authority = ("-CA", folder / "authority.crt", "-CAkey", folder / "authority.key", "-CAcreateserial")
        csr = ("-in", folder / f"{name}.csr", "-extfile", folder / "names", "-days", "2")
        _openssl("x509", "-req", *csr, *authority, "-out", folder / f"{name}.crt")
        both = (folder / f"{name}.crt").read_text(encoding="ascii") + (folder / f"{name}.key").read_text(
            encoding="ascii"
        )
        (folder / f"{name}.pem").write_text(both, encoding="ascii")
    return Certificates(folder / "authority.crt", folder / "server.pem", folder / "client.pem")


def _key(folder: Path, name: str) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / f"{name}.key")


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)
