package agent

import "testing"

func TestWayDropsUntilThereAreALinkAndAReceiver(t *testing.T) {
	var w way
	if w.Send([]byte{1}) {
		t.Error("a packet was taken without a link")
	}
	w.receive([]byte{1})
	var got int
	w.SetReceiver(func([]byte) { got++ })
	w.receive([]byte{1})
	w.SetReceiver(nil)
	w.receive([]byte{1})
	if got != 1 {
		t.Errorf("%d packets came", got)
	}
}
