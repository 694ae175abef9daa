// Command gensource makes importable packages from programs that their authors
// publish only as package main: crictl for the kedge binary, and the CNI
// plugins for the one multi-call program of the runtime bundle.
//
// It reads the sources from the module cache at the version that go.mod pins
// and writes git-ignored zz_generated_ files; nothing of them is committed.
// Every rewrite must match exactly as often as the recipe says, so that an
// upstream change ends the build with a clear message instead of a strange
// program. Start reading at recipes.
package main
