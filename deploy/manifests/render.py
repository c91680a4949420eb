"""The plain manifests, for those who do without Helm, on stdout: what `make manifests` writes. A test compares.

They are the chart's, with its default values, in a namespace of their own and without what only Helm reads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHART = Path(__file__).resolve().parents[2] / "charts" / "zanith"
NAMESPACE = "zanith-system"
HEADER = f"""\
# Generated from charts/zanith by `make manifests`; a test compares. Do not edit.
#
#   kubectl apply --server-side -f install.yaml
#
# The operator may read no Secret until a Role lets it: see secret-reader.yaml beside this file.
---
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""
ONLY_FOR_HELM = re.compile(
    r"^ +(?:helm\.sh/chart|helm\.sh/resource-policy|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE
)


def main() -> int:
    helm = shutil.which("helm", path=f"{os.environ.get('ZANITH_KUBE_BIN', '')}:{os.environ.get('PATH', '')}")
    if helm is None:
        print("helm is not on PATH; `deploy/cluster binaries helm` gets it", file=sys.stderr)
        return 1
    # The oldest Kubernetes the chart takes; a Helm that was built from source believes in an older one.
    command = [helm, "template", "zanith", str(CHART), "--namespace", NAMESPACE, "--kube-version", "1.33.0"]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sys.stdout.write(HEADER + ONLY_FOR_HELM.sub("", rendered))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
