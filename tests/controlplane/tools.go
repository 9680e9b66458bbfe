//go:build tools

// Package controlplane pins the Kubernetes control plane that the stories run against.
//
// There is no code of ours in it: `go.mod` and `go.sum` say which sources, `cargo xtask setup` builds
// the binaries. The imports below keep them in the module graph; the build tag keeps them out of it
// otherwise.
package controlplane

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
