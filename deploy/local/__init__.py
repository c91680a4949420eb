"""A real Kubernetes for tests and the demo, from whatever the machine has.

Standard library only: this runs before anything of ours is installed. It never touches ~/.kube/config and never uses
the context that happens to be current there.
"""
