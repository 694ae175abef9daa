// Package view is what people and programs see of the link: the report of all
// links of a daemon, as JSON at its status socket and as tables of kedge link.
//
// It reads the states of a hub or a spoke and owns nothing that runs. Start
// reading at [Report].
package view
