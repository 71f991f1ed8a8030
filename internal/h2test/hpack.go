package h2test

import (
	"errors"
	"slices"
)

// field is one field of a header list.
type field struct{ name, value string }

// decoder reads header blocks (RFC 7541). It keeps the connection's dynamic table, newest first.
type decoder struct {
	table []field
	size  int
	limit int
}

const defaultTable = 4096 // RFC 9113, section 6.5.2

var errBlock = errors.New("h2test: a header block that cannot be read")

func (d *decoder) decode(block []byte) (fields []field, err error) {
	for len(block) > 0 {
		var f field
		var index int
		first := block[0]
		switch {
		case first&0x80 != 0: // indexed (6.1)
			if index, block, err = integer(block, 7); err == nil {
				f, err = d.at(index)
			}
		case first&0xe0 == 0x20: // a new size of the table (6.3)
			d.limit, block, err = integer(block, 5)
			d.evict()
			if err == nil {
				continue
			}
		default: // literal (6.2)
			prefix := 4
			if first&0xc0 == 0x40 {
				prefix = 6
			}
			f, block, err = d.literal(block, prefix)
			if err == nil && prefix == 6 {
				d.table = slices.Insert(d.table, 0, f)
				d.size += len(f.name) + len(f.value) + 32
				d.evict()
			}
		}
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func (d *decoder) literal(block []byte, prefix int) (f field, rest []byte, err error) {
	index, rest, err := integer(block, prefix)
	switch {
	case err != nil:
		return f, nil, err
	case index == 0:
		f.name, rest, err = text(rest)
	default:
		f, err = d.at(index)
	}
	if err != nil {
		return f, nil, err
	}
	f.value, rest, err = text(rest)
	return f, rest, err
}

func (d *decoder) at(index int) (field, error) {
	switch n := len(staticTable); {
	case index >= 1 && index <= n:
		return staticTable[index-1], nil
	case index > n && index <= n+len(d.table):
		return d.table[index-n-1], nil
	default:
		return field{}, errBlock
	}
}

func (d *decoder) evict() {
	for d.size > d.limit && len(d.table) > 0 {
		last := d.table[len(d.table)-1]
		d.size -= len(last.name) + len(last.value) + 32
		d.table = d.table[:len(d.table)-1]
	}
}

// integer reads a number with a prefix of n bits (5.1).
func integer(p []byte, n int) (int, []byte, error) {
	if len(p) == 0 {
		return 0, nil, errBlock
	}
	most := 1<<n - 1
	value := int(p[0]) & most
	if p = p[1:]; value < most {
		return value, p, nil
	}
	for shift := 0; shift < 28; shift += 7 {
		if len(p) == 0 {
			return 0, nil, errBlock
		}
		b := p[0]
		p = p[1:]
		value += int(b&0x7f) << shift
		if b&0x80 == 0 {
			return value, p, nil
		}
	}
	return 0, nil, errBlock
}

// text reads a string (5.2).
func text(p []byte) (string, []byte, error) {
	if len(p) == 0 {
		return "", nil, errBlock
	}
	coded := p[0]&0x80 != 0
	n, p, err := integer(p, 7)
	if err != nil || n > len(p) {
		return "", nil, errBlock
	}
	if !coded {
		return string(p[:n]), p[n:], nil
	}
	s, err := huffman(p[:n])
	return s, p[n:], err
}

// huffman decodes the code of RFC 7541, appendix B. It is canonical: codes of one length are in the
// order of their bytes, and follow those that are shorter.
func huffman(p []byte) (string, error) {
	var out []byte
	code, bits := 0, 0
	for _, b := range p {
		for i := 7; i >= 0; i-- {
			code = code<<1 | int(b>>i)&1
			bits++
			if symbol, ok := symbols[[2]int{bits, code}]; ok {
				out = append(out, symbol)
				code, bits = 0, 0
			} else if bits > 30 {
				return "", errBlock
			}
		}
	}
	if bits > 7 || code != 1<<bits-1 { // padding is the beginning of a code of ones
		return "", errBlock
	}
	return string(out), nil
}

var symbols = func() map[[2]int]byte {
	table := map[[2]int]byte{}
	code := 0
	for length := 5; length <= 30; length++ {
		for symbol, n := range lengths {
			if int(n) == length {
				table[[2]int{length, code}] = byte(symbol)
				code++
			}
		}
		code <<= 1
	}
	return table
}()

// lengths are those of the 256 codes, in bits.
var lengths = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
	28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
	5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
	6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
	23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
	21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
	22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
	21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
	22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

// staticTable is that of RFC 7541, appendix A.
var staticTable = []field{
	{":authority", ""},
	{":method", "GET"},
	{":method", "POST"},
	{":path", "/"},
	{":path", "/index.html"},
	{":scheme", "http"},
	{":scheme", "https"},
	{":status", "200"},
	{":status", "204"},
	{":status", "206"},
	{":status", "304"},
	{":status", "400"},
	{":status", "404"},
	{":status", "500"},
	{"accept-charset", ""},
	{"accept-encoding", "gzip, deflate"},
	{"accept-language", ""},
	{"accept-ranges", ""},
	{"accept", ""},
	{"access-control-allow-origin", ""},
	{"age", ""},
	{"allow", ""},
	{"authorization", ""},
	{"cache-control", ""},
	{"content-disposition", ""},
	{"content-encoding", ""},
	{"content-language", ""},
	{"content-length", ""},
	{"content-location", ""},
	{"content-range", ""},
	{"content-type", ""},
	{"cookie", ""},
	{"date", ""},
	{"etag", ""},
	{"expect", ""},
	{"expires", ""},
	{"from", ""},
	{"host", ""},
	{"if-match", ""},
	{"if-modified-since", ""},
	{"if-none-match", ""},
	{"if-range", ""},
	{"if-unmodified-since", ""},
	{"last-modified", ""},
	{"link", ""},
	{"location", ""},
	{"max-forwards", ""},
	{"proxy-authenticate", ""},
	{"proxy-authorization", ""},
	{"range", ""},
	{"referer", ""},
	{"refresh", ""},
	{"retry-after", ""},
	{"server", ""},
	{"set-cookie", ""},
	{"strict-transport-security", ""},
	{"transfer-encoding", ""},
	{"user-agent", ""},
	{"vary", ""},
	{"via", ""},
	{"www-authenticate", ""},
}
