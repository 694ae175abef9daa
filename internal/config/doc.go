// Package config gives every flag of a command three more sources: the
// environment, configuration files and, last, the default that the flag was
// declared with.
//
// A flag is declared once, on a pflag.FlagSet. Its name is its key in a file
// and, in upper case with underscores and the prefix KEDGE_, its environment
// variable: --node-ip, node-ip and KEDGE_NODE_IP are one option. Load sets the
// flags' values in this order of precedence and remembers where each came from:
//
//	flag > environment > config.yaml.d/*.yaml (later names win) > config.yaml > default
//
// Reading is strict: a key or a KEDGE_ variable that no flag has, a value of
// the wrong type, a key set twice in one file are errors that name the file,
// the line and the nearest known key. All problems are reported together.
//
// The values of options marked with MarkSecret never leave the flag: Resolved,
// its printed forms and every error hold a mask instead.
//
// The package must not know any option by name, except the one that says where
// the files are, and must not judge values beyond their type: that is the work
// of the package that uses them. Start reading at Load.
package config
