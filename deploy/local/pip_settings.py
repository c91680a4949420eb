"""What pip needs to know inside the build to reach an index as it does on this machine; nothing is set if nothing is.

It is handed over as build secrets, so it stands in no layer and changes no cache key.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from .commands import attempt

_PASSED_ON = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
_CA_IN_THE_BUILD = "/run/secrets/ca-bundle"
_CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
PROXIES = tuple(name for lower in ("http_proxy", "https_proxy", "no_proxy") for name in (lower, lower.upper()))


def write(folder: Path) -> list[str]:
    """The `--secret` arguments, for files written into the folder."""
    told = _told()
    lines = [f"{name} = {told[name]}" for name in _PASSED_ON if name in told]
    bundle = told.get("cert") or next((os.environ[name] for name in _CA_VARIABLES if os.environ.get(name)), "")
    arguments = []
    if bundle and Path(bundle).is_file():
        lines.append(f"cert = {_CA_IN_THE_BUILD}")
        arguments += ["--secret", f"id=ca-bundle,src={bundle}"]
    settings = folder / "pip.conf"
    settings.touch(mode=0o600)
    settings.write_text("\n".join(["[global]", *lines]) + "\n")
    return ["--secret", f"id=pip-conf,src={settings}", *arguments]


def proxy_arguments() -> list[str]:
    """Names only: the builder takes the values from the environment and keeps them out of the image."""
    return [part for name in PROXIES if os.environ.get(name) for part in ("--build-arg", name)]


def _told() -> dict[str, str]:
    """pip's own view of its files and environment; what the environment says wins, as it does in pip."""
    listed = attempt(sys.executable, "-m", "pip", "config", "list").stdout
    found = re.findall(r"^(\S+?)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    order = {"global": 0, "install": 1, ":env:": 2}
    ranked = sorted((order[section], name, value) for section, name, value in found if section in order)
    return {name: value.replace("\\n", " ") for _, name, value in ranked}
