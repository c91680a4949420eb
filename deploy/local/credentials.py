"""Who may speak to the native cluster's API server: one certificate, one token for each identity, a kubeconfig for each.

The API server's certificate is its own root, so clients verify it with the file alone. Everything is made once and kept
until `down`: a restarted API server must know the tokens and signatures of before.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from .commands import run
from .settings import API_SERVER, CLUSTER, NODE_ADDRESS, SERVICE_ADDRESS


@dataclass(frozen=True)
class Identity:
    user: str
    groups: tuple[str, ...] = ()


ADMIN = Identity("zanith-admin", ("system:masters",))
TESTER = Identity("zanith-tester", ("zanith:cluster-admins",))
KUBELET = Identity(f"system:node:{CLUSTER}", ("system:nodes",))
CONTROLLER_MANAGER = Identity("system:kube-controller-manager")
SCHEDULER = Identity("system:kube-scheduler")
KUBE_PROXY = Identity("system:kube-proxy")
ALL = (ADMIN, TESTER, KUBELET, CONTROLLER_MANAGER, SCHEDULER, KUBE_PROXY)


class Credentials:
    """The files below `pki/` of the node's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "apiserver.crt"
        self.key = folder / "apiserver.key"
        self.kubelet_client_certificate = folder / "kubelet-client.crt"
        self.kubelet_client_key = folder / "kubelet-client.key"
        self.signing_key = folder / "service-accounts.key"
        self.tokens = folder / "tokens.csv"

    def ensure(self) -> None:
        if self.tokens.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        addresses = f"IP:{NODE_ADDRESS},IP:{SERVICE_ADDRESS},IP:127.0.0.1"
        names = ",".join(f"DNS:{name}" for name in _api_server_names())
        self._self_signed(self.certificate, self.key, "/CN=kube-apiserver", f"{names},{addresses}")
        client = "/O=system:masters/CN=kube-apiserver-kubelet-client"
        self._self_signed(self.kubelet_client_certificate, self.kubelet_client_key, client)
        run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.signing_key)
        lines = [f'{secrets.token_hex(24)},{who.user},{who.user},"{",".join(who.groups)}"\n' for who in ALL]
        self.tokens.write_text("".join(lines))

    def token(self, who: Identity) -> str:
        for line in self.tokens.read_text().splitlines():
            token, user = line.split(",")[:2]
            if user == who.user:
                return token
        raise LookupError(f"{self.tokens} has no line for {who.user}")

    def write_kubeconfig(self, who: Identity, target: Path) -> None:
        """JSON, which every reader of YAML takes."""
        certificate = base64.b64encode(self.certificate.read_bytes()).decode()
        cluster = {"server": API_SERVER, "certificate-authority-data": certificate}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CLUSTER, "cluster": cluster}],
            "users": [{"name": who.user, "user": {"token": self.token(who)}}],
            "contexts": [{"name": CLUSTER, "context": {"cluster": CLUSTER, "user": who.user}}],
            "current-context": CLUSTER,
        }
        text = json.dumps(content, indent=2) + "\n"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        if target.read_text() != text:
            target.write_text(text)

    def _self_signed(self, certificate: Path, key: Path, subject: str, names: str = "") -> None:
        """Usable as its own root also where X.509 is read strictly, as Python does since 3.13."""
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature,keyCertSign"]
        extensions += ["extendedKeyUsage=serverAuth,clientAuth"] + ([f"subjectAltName={names}"] if names else [])
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "3650", "-subj", subject, "-keyout", str(key), "-out", str(certificate)]
        run(*command, *(part for extension in extensions for part in ("-addext", extension)))


def _api_server_names() -> tuple[str, ...]:
    service = "kubernetes.default.svc"
    return ("localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local")
