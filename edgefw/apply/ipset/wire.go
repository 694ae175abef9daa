package ipset

// Of linux/netfilter/ipset/ip_set.h. Version 6 of the protocol is what all
// kernels since 2.6.39 speak.
const protocol = 6

const (
	cmdProtocol = 1
	cmdCreate   = 2
	cmdDestroy  = 3
	cmdSwap     = 6
	cmdList     = 7
	cmdAdd      = 9
	cmdDel      = 10
	cmdType     = 13
)

// Attributes of a command.
const (
	attrProtocol = 1
	attrSetname  = 2
	attrTypename = 3
	attrSetname2 = attrTypename
	attrRevision = 4
	attrFamily   = 5
	attrFlags    = 6
	attrData     = 7
	attrADT      = 8 // many attrData
	attrLine     = 9
)

// Attributes within attrData.
const (
	attrIP         = 1
	attrCIDR       = 3
	attrHashSize   = 18
	attrMaxElem    = 19
	attrElements   = 24
	attrReferences = 25

	// Within attrIP.
	attrIPv4 = 1
	attrIPv6 = 2
)

// listHeader asks for what is said of sets, without their entries.
const listHeader = 1 << 2

const (
	errProtocol     = 4097
	errFindType     = 4098
	errMaxSets      = 4099
	errBusy         = 4100
	errSetname2     = 4101
	errTypeMismatch = 4102
	errExist        = 4103
	errCIDR         = 4104
	errFamily       = 4106
	errReferenced   = 4108
	errIPv4         = 4109
	errIPv6         = 4110
	errHashFull     = 4352
)
