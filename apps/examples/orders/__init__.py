"""An example application: the orders of a shop for stage props, from the letter to the parcel."""
