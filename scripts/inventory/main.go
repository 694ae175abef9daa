// Command inventory says what is inside a release and under which licences. It
// asks the programs themselves, which carry the list of modules that they were
// linked from, so that nothing is listed that is not inside and the reverse.
//
//	inventory -arch amd64 -version 1.2.3 -epoch 1700000000 -release dist/kedge-linux-amd64 \
//	    -sbom dist/kedge-amd64.cdx.json -licences build/dist/licences \
//	    -c /usr/share/doc/libseccomp-dev/copyright=libseccomp@2.5.4 PROGRAM...
//
// It writes a CycloneDX 1.6 document and a folder with every licence text. A
// module whose licence it does not know ends it with an error.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// options are the command line.
type options struct {
	arch, version, release, sbom, licences string
	moduleCache, goRoot                    string
	built                                  time.Time
	libraries                              []library
	sqlite                                 string
}

// library is a C library that a program was linked with statically.
type library struct{ name, version, copyright, licence string }

func main() {
	var o options
	epoch := flag.Int64("epoch", 0, "time of the build in seconds since 1970")
	flag.StringVar(&o.arch, "arch", "", "GOARCH of the programs")
	flag.StringVar(&o.version, "version", "", "version of kedge")
	flag.StringVar(&o.release, "release", "", "release file that the document is about")
	flag.StringVar(&o.sbom, "sbom", "", "CycloneDX document to write")
	flag.StringVar(&o.licences, "licences", "", "folder for the texts of the licences")
	flag.StringVar(&o.moduleCache, "modcache", "", "go env GOMODCACHE")
	flag.StringVar(&o.goRoot, "goroot", "", "go env GOROOT")
	flag.StringVar(&o.sqlite, "sqlite", "", "version of SQLite")
	flag.Func("c", "C library inside a program: NAME@VERSION=LICENCE=FILE", func(s string) error {
		parts := strings.SplitN(s, "=", 3)
		name, version, ok := strings.Cut(parts[0], "@")
		if len(parts) != 3 || !ok {
			return fmt.Errorf("%q is not NAME@VERSION=LICENCE=FILE", s)
		}
		o.libraries = append(o.libraries, library{name: name, version: version, licence: parts[1], copyright: parts[2]})
		return nil
	})
	flag.Parse()
	o.built = time.Unix(*epoch, 0).UTC()
	if err := run(o, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "inventory: %v\n", err)
		os.Exit(1)
	}
}

func run(o options, programs []string) error {
	inv, err := take(o, programs)
	if err != nil {
		return err
	}
	if err := inv.writeLicences(o.licences); err != nil {
		return err
	}
	return inv.writeSBOM(o)
}
