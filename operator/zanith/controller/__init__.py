"""The controller: observes, decides (pure), carries out. The one border to kopf; Kubernetes is reached through `kube`."""
