package main

// A recipe says which program becomes which package.
type recipe struct {
	module  string // folder, relative to the repository, of the go.mod that pins the program
	program string // import path of the program
	out     string // folder, relative to the repository, that receives the files
	name    string // name of the resulting package
	entry   string // name that func main gets
	edits   []edit
}

// An edit replaces a text that must occur exactly count times in all files of
// the program together.
type edit struct {
	old, new string
	count    int
}

// recipes lists every program that kedge turns into a package.
var recipes = []recipe{
	{
		module: ".", program: "sigs.k8s.io/cri-tools/cmd/crictl",
		out: "internal/crictl", name: "crictl", entry: "run",
		edits: []edit{
			// The entry point takes its arguments and returns its error.
			{"func run() {\n", "func init() { entry = run }\n\nfunc run(arguments []string) error {\n", 1},
			{"app.Run(os.Args); err != nil {\n\t\tlogrus.Fatal(err)\n", "app.Run(arguments); err != nil {\n\t\treturn err\n", 1},
			{"shutdown tracer provider: %v\", err)\n\t\t}\n\t}\n}\n", "shutdown tracer provider: %v\", err)\n\t\t}\n\t}\n\n\treturn nil\n}\n", 1},
			// The test framework is used for one constant only and would
			// bring ginkgo, its flags and gomega into the binary.
			{"\t\"sigs.k8s.io/cri-tools/pkg/framework\"\n", "", 2},
			{"framework.OSWindows", "\"windows\"", 2},
		},
	},
	plugin("main/bridge", "bridge"),
	plugin("ipam/host-local", "hostlocal"),
	plugin("meta/portmap", "portmap"),
}

// plugin is the recipe of one CNI plugin.
func plugin(path, name string) recipe {
	return recipe{
		module:  "scripts/bundle/cni",
		program: "github.com/containernetworking/plugins/plugins/" + path,
		out:     "scripts/bundle/cni/" + name,
		name:    name,
		entry:   "Main",
	}
}
