package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// The hot statements speak PostgreSQL's binary format themselves: pgx boxes
// every element of an array and every column of a row, which is most of what a
// batch costs this side of the connection. What is not known here is left to pgx.

// epoch2000 is PostgreSQL's zero of time, in microseconds of Unix time.
const epoch2000 = 946684800 * 1_000_000

const binaryFormat = pgtype.BinaryFormatCode

// elementOf is the type of the elements of the array types that are known here.
var elementOf = map[uint32]uint32{
	pgtype.Int8ArrayOID: pgtype.Int8OID, pgtype.Int4ArrayOID: pgtype.Int4OID, pgtype.Int2ArrayOID: pgtype.Int2OID,
	pgtype.TextArrayOID: pgtype.TextOID, pgtype.TimestamptzArrayOID: pgtype.TimestamptzOID,
	pgtype.BoolArrayOID: pgtype.BoolOID, pgtype.JSONBArrayOID: pgtype.JSONBOID, pgtype.ByteaArrayOID: pgtype.ByteaOID,
	pgtype.UUIDArrayOID: pgtype.UUIDOID,
}

// appendArray appends the parameter of an array type that holds a column's
// values.
func appendArray(b []byte, types *pgtype.Map, oid uint32, values any) ([]byte, error) {
	elem, known := elementOf[oid]
	n := 0
	switch v := values.(type) {
	case []int64:
		n = len(v)
	case []int:
		n = len(v)
	case []string:
		n = len(v)
	case []bool:
		n = len(v)
	case [][]byte:
		n = len(v)
	case []time.Time:
		n = len(v)
	default:
		known = false
	}
	if !known {
		return types.Encode(oid, binaryFormat, values, b)
	}
	if n == 0 {
		return binary.BigEndian.AppendUint32(append(b, make([]byte, 8)...), elem), nil // no dimensions, no NULLs
	}
	b = binary.BigEndian.AppendUint32(b, 1) // dimensions
	b = binary.BigEndian.AppendUint32(b, 1) // there may be NULLs
	b = binary.BigEndian.AppendUint32(b, elem)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = binary.BigEndian.AppendUint32(b, 1) // the first index
	var err error
	for i := range n {
		if b, err = appendValue(b, elem, values, i); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendValue appends the i-th of a column's values as one of a type, its length
// before it.
func appendValue(b []byte, oid uint32, values any, i int) ([]byte, error) {
	switch v := values.(type) {
	case []int64:
		return appendInt(b, oid, v[i])
	case []int:
		return appendInt(b, oid, int64(v[i]))
	case []string:
		return appendText(b, oid, v[i])
	case []bool:
		if oid == pgtype.BoolOID {
			on := byte(0)
			if v[i] {
				on = 1
			}
			return append(b, 0, 0, 0, 1, on), nil
		}
	case [][]byte:
		if oid == pgtype.ByteaOID {
			if v[i] == nil {
				return appendNull(b), nil
			}
			return append(binary.BigEndian.AppendUint32(b, uint32(len(v[i]))), v[i]...), nil
		}
	case []time.Time:
		if oid == pgtype.TimestamptzOID {
			if v[i].IsZero() {
				return appendNull(b), nil
			}
			return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(v[i].UnixMicro()-epoch2000)), nil
		}
	}
	return nil, fmt.Errorf("encode a parameter: %T is not of the type %d", values, oid)
}

func appendNull(b []byte) []byte { return append(b, 0xff, 0xff, 0xff, 0xff) }

func appendInt(b []byte, oid uint32, n int64) ([]byte, error) {
	switch {
	case oid == pgtype.Int8OID:
		return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(n)), nil
	case oid == pgtype.Int4OID && n == int64(int32(n)):
		return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 4), uint32(n)), nil
	case oid == pgtype.Int2OID && n == int64(int16(n)):
		return binary.BigEndian.AppendUint16(append(b, 0, 0, 0, 2), uint16(n)), nil
	}
	return nil, fmt.Errorf("encode a parameter: %d is not of the type %d", n, oid)
}

func appendText(b []byte, oid uint32, text string) ([]byte, error) {
	switch oid {
	case pgtype.TextOID:
		return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...), nil
	case pgtype.JSONBOID:
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)+1))
		return append(append(b, 1), text...), nil // the version of the format
	case pgtype.UUIDOID:
		id, err := parseUUID(text)
		return append(binary.BigEndian.AppendUint32(b, uint32(len(id))), id[:]...), err
	}
	return nil, fmt.Errorf("encode a parameter: a text is not of the type %d", oid)
}

// parseUUID reads the 36 characters of a UUID.
func parseUUID(text string) (id [16]byte, err error) {
	var parsed pgtype.UUID
	if err := parsed.Scan(text); err != nil {
		return id, fmt.Errorf("encode a parameter: %q is no UUID", text)
	}
	return parsed.Bytes, nil
}

// readInt reads a whole number of any size.
func readInt(b []byte) (int64, bool) {
	switch len(b) {
	case 8:
		return int64(binary.BigEndian.Uint64(b)), true
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b))), true
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b))), true
	}
	return 0, false
}

// readTime reads a point in time; the infinite ones are left to pgx.
func readTime(b []byte) (time.Time, bool) {
	n, ok := readInt(b)
	if !ok || n == math.MaxInt64 || n == math.MinInt64 {
		return time.Time{}, false
	}
	return time.UnixMicro(n + epoch2000).UTC(), true
}
