package bandwidth

// Name is the component's name.
const Name = "bandwidth"
