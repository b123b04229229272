package feed

import "time"

// A Reason says which part of the node does not work as it should, and since
// when. Anybody may read it (/readyz): no names, paths or addresses in it.
type Reason struct {
	Part   string    `json:"part" example:"store"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since,omitzero"`
}
