package store

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm/schema"
)

// instant is the gorm serializer of points in time: UTC, microseconds, the
// zero time as NULL.
type instant struct{}

// Scan reads a column into the field.
func (instant) Scan(ctx context.Context, field *schema.Field, dst reflect.Value, value any) error {
	var t time.Time
	switch v := value.(type) {
	case nil:
	case time.Time:
		t = v.UTC()
	case int64:
		t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("column %s holds a %T, not a time", field.DBName, value)
	}
	return field.Set(ctx, dst, t)
}

// Value writes the field as a column.
func (instant) Value(_ context.Context, _ *schema.Field, _ reflect.Value, value any) (any, error) {
	t, ok := value.(time.Time)
	if !ok {
		return nil, fmt.Errorf("a %T is not a time", value)
	}
	return nullable(t), nil
}

// nullable returns the time as it is stored: nil for the zero time.
func nullable(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Truncate(time.Microsecond)
}

// nullTime scans a time or NULL, also from a SQLite expression, which has no
// declared type and so arrives as microseconds.
type nullTime struct{ t *time.Time }

// Scan implements sql.Scanner.
func (n nullTime) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*n.t = time.Time{}
	case time.Time:
		*n.t = v.UTC()
	case int64:
		*n.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a %T is not a time", value)
	}
	return nil
}
