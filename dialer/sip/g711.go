package sip

// toULaw and toALaw turn samples of one G.711 into the other: each as the law
// that is left is decoded and the other one encodes it.
var (
	toULaw = lawTable(decodeALaw, encodeULaw)
	toALaw = lawTable(decodeULaw, encodeALaw)
)

func lawTable(decode func(byte) int16, encode func(int16) byte) (table [256]byte) {
	for i := range table {
		table[i] = encode(decode(byte(i)))
	}
	return table
}

// convert turns samples of the other G.711 into c's.
func convert(samples []byte, c codec) {
	table := &toULaw
	if c == pcma {
		table = &toALaw
	}
	for i, b := range samples {
		samples[i] = table[b]
	}
}

// encodeALaw encodes a 16-bit sample (ITU-T G.711, table 1).
func encodeALaw(sample int16) byte {
	v, sign := int(sample)>>3, byte(0xd5) // 13 bits
	if v < 0 {
		v, sign = -v-1, 0x55
	}
	if v < 32 {
		return byte(v>>1) ^ sign
	}
	segment := 1
	for limit := 63; v > limit && segment < 7; limit = limit<<1 | 1 {
		segment++
	}
	return (byte(segment<<4) | byte(v>>segment)&0x0f) ^ sign
}

// encodeULaw encodes a 16-bit sample (ITU-T G.711, table 2).
func encodeULaw(sample int16) byte {
	const bias, clip = 33, 8158 // of 14 bits
	v, sign := int(sample)>>2, byte(0xff)
	if v < 0 {
		v, sign = -v, 0x7f
	}
	v = min(v, clip) + bias
	segment := 0
	for limit := 63; v > limit && segment < 7; limit = limit<<1 | 1 {
		segment++
	}
	return (byte(segment<<4) | byte(v>>(segment+1))&0x0f) ^ sign
}

// decodeALaw decodes a sample to 16 bits (ITU-T G.711, table 1).
func decodeALaw(b byte) int16 {
	b ^= 0x55
	v := int(b&0x0f)<<4 + 8
	if segment := b >> 4 & 7; segment > 0 {
		v = (v + 0x100) << (segment - 1)
	}
	if b&0x80 == 0 {
		v = -v
	}
	return int16(v)
}

// decodeULaw decodes a sample to 16 bits (ITU-T G.711, table 2).
func decodeULaw(b byte) int16 {
	const bias = 0x84 // of 16 bits
	b = ^b
	v := (int(b&0x0f)<<3+bias)<<(b>>4&7) - bias
	if b&0x80 != 0 {
		v = -v
	}
	return int16(v)
}
