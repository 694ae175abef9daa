package bandwidth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

func TestWishesSurviveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent", "bandwidth.json")
	w := wishes{
		Pods: map[string]podWish{"uid-web": {
			podRef: podRef{Namespace: "default", Name: "web", UID: "uid-web"}, Labels: map[string]string{"app": "web"},
			Annotations: map[string]string{v1alpha1.AnnotationEgress: "10M"}, Containers: []string{"app"},
		}},
		Policies: []v1alpha1.BandwidthPolicy{*policyObject("all", 3)},
	}
	if _, err := w.keep(file); err != nil {
		t.Fatal(err)
	}
	got, err := loadWishes(file)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Pods["uid-web"].equal(w.Pods["uid-web"]) || len(got.Policies) != 1 || got.Policies[0].Generation != 3 {
		t.Errorf("read %+v, kept %+v", got, w)
	}
}

func TestPodsWithoutWishesAreNotWritten(t *testing.T) {
	w := wishes{Pods: map[string]podWish{"uid-web": {podRef: podRef{Namespace: "default", Name: "web"}}}}
	text, err := w.text()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "uid-web") {
		t.Errorf("a pod of which nobody wishes anything is kept: %s", text)
	}
	w.Policies = []v1alpha1.BandwidthPolicy{*policyObject("all", 1)}
	if text, _ = w.text(); !strings.Contains(string(text), "uid-web") {
		t.Errorf("a pod that a policy may choose is not kept: %s", text)
	}
}

// Anybody may write policies into a namespace of theirs, as many as they like.
func TestPoliciesOfOtherNodesPodsAreNotWritten(t *testing.T) {
	w := wishes{Pods: map[string]podWish{"uid-web": {podRef: podRef{Namespace: "default", Name: "web"}}}}
	before, _ := w.text()
	other := policyObject("other", 1)
	other.Namespace = "elsewhere"
	w.Policies = []v1alpha1.BandwidthPolicy{*other}
	if after, err := w.text(); err != nil || string(after) != string(before) {
		t.Errorf("kept is %s, %v", after, err)
	}
}

func TestADamagedStateFileNamesItself(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bandwidth.json")
	if err := os.WriteFile(file, []byte(`{"pods":{`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadWishes(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("the error is %v, want one with the name of the file", err)
	}
}
