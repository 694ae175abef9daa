package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AddressSet is a set of addresses that firewalls name. All its sources together
// are what it has, at most 100000 ranges.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=aset,categories=kedge
// +kubebuilder:printcolumn:name="IPv4",type=integer,JSONPath=`.status.ipv4`
// +kubebuilder:printcolumn:name="IPv6",type=integer,JSONPath=`.status.ipv6`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Current",type=string,JSONPath=`.status.conditions[?(@.type=="Current")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",messageExpression="'the name ' + self.metadata.name + ' is too long: use at most 63 characters'"
type AddressSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AddressSetSpec `json:"spec"`
	// +optional
	Status AddressSetStatus `json:"status,omitempty"`
}

// Bounds of an [AddressSet].
const (
	// MaxAddresses is how many ranges a set has, all sources together.
	MaxAddresses = 100_000
	// MaxListBytes is how large a list that is fetched, or unpacked, may be.
	MaxListBytes = 8 << 20
)

// AddressSetSpec says where addresses come from.
//
// +kubebuilder:validation:XValidation:rule="has(self.addresses) || has(self.configMapRef) || has(self.list)",message="this set has no source: give it addresses, configMapRef or list"
type AddressSetSpec struct {
	// Addresses are addresses and ranges, at most 25000: an object has 1.5 MB at
	// most. More of them come from a ConfigMap or a list.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=25000
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isIP(self) || isCIDR(self) && cidr(self) == cidr(self).masked()",message="this is neither an address nor a range: write for instance 203.0.113.7, 203.0.113.0/24 (the first address of the range) or 2001:db8::/32"
	Addresses []string `json:"addresses,omitempty"`
	// ConfigMapRef names a ConfigMap that has lists: one address or range a line,
	// and after # whatever people write. Its binaryData may be packed with gzip,
	// by which 100000 ranges fit into the 1 MiB of a ConfigMap.
	// +optional
	ConfigMapRef *ConfigMapReference `json:"configMapRef,omitempty"`
	// List is fetched by the server.
	// +optional
	List *AddressList `json:"list,omitempty"`
}

// ConfigMapReference names a ConfigMap.
type ConfigMapReference struct {
	// Namespace is where it is.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// Name is what it is called.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Key is the one that counts; absent, all do.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// AddressList is a list at an https address: one address or range a line, and
// after # whatever people write; 8 MiB at most.
type AddressList struct {
	// URL is where it is, by https. Redirects to other https addresses are
	// followed.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() == 'https' && url(self).getHost() != ''",message="this is no https address: write for instance https://lists.example.org/offices.txt"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-zA-Z]+://[^/?#]*@')",message="this has a name or password in it, which everybody who reads the AddressSet would see: use a list that needs none"
	URL string `json:"url"`
	// Interval is the time between two fetches: 10s to 168h. Absent, 1h. A fetch
	// asks only for what changed (ETag, Last-Modified).
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('168h')",message="this is no interval: use 10s to 168h"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// CABundle are certificates (PEM) of authorities that may vouch for the host
	// instead of those that the server's system trusts.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----')",message="this holds no certificate: write PEM, beginning with -----BEGIN CERTIFICATE-----"
	CABundle string `json:"caBundle,omitempty"`
}

// AddressSetStatus is what the server made of the sources.
type AddressSetStatus struct {
	// ObservedGeneration is that of the spec which this is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// IPv4 and IPv6 are how many ranges there are, all sources together and without
	// repetitions.
	// +optional
	IPv4 int32 `json:"ipv4"`
	// +optional
	IPv6 int32 `json:"ipv6"`
	// Sources tells about each source.
	// +optional
	// +listType=map
	// +listMapKey=source
	// +kubebuilder:validation:MaxItems=3
	Sources []AddressSource `json:"sources,omitempty"`
	// Conditions are Accepted and Current.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// AddressSource is one source of a set.
type AddressSource struct {
	// Source is which.
	Source AddressSourceName `json:"source"`
	// Count is how many addresses and ranges it has.
	Count int32 `json:"count"`
	// Changed is when what it has became different.
	// +optional
	Changed *metav1.Time `json:"changed,omitempty"`
	// Problem says why it could not be read, if it could not: what it had before
	// counts on.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Problem string `json:"problem,omitempty"`
}

// AddressSourceName is the name of the field that names a source.
//
// +kubebuilder:validation:Enum=addresses;configMapRef;list
type AddressSourceName string

// The sources of a set.
const (
	SourceAddresses AddressSourceName = "addresses"
	SourceConfigMap AddressSourceName = "configMapRef"
	SourceList      AddressSourceName = "list"
)

// AddressSetList is a list of sets.
//
// +kubebuilder:object:root=true
type AddressSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AddressSet `json:"items"`
}
