// Command etcd is the etcd server of the pinned version; its own repository builds it from a module
// that cannot be required, so the four lines stand here.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
