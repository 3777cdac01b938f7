package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// slowStatement is when a plain statement is worth a line in the log.
const slowStatement = time.Second

func (s *Store) gormConfig() *gorm.Config {
	schema.RegisterSerializer("instant", instant{})
	return &gorm.Config{
		SkipDefaultTransaction: true,
		Logger:                 gormLog{s.log},
		NowFunc:                func() time.Time { return s.now().UTC() },
	}
}

// gormLog bridges gorm's log to slog. An error is its caller's to log; only
// slow statements are told here, without their values.
type gormLog struct{ log *slog.Logger }

// LogMode is part of gorm's interface; the level is slog's.
func (l gormLog) LogMode(logger.LogLevel) logger.Interface { return l }

// Info is part of gorm's interface.
func (l gormLog) Info(ctx context.Context, msg string, args ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(msg, args...))
}

// Warn is part of gorm's interface.
func (l gormLog) Warn(ctx context.Context, msg string, args ...any) {
	l.log.WarnContext(ctx, fmt.Sprintf(msg, args...))
}

// Error is part of gorm's interface.
func (l gormLog) Error(ctx context.Context, msg string, args ...any) {
	l.log.ErrorContext(ctx, fmt.Sprintf(msg, args...))
}

// ParamsFilter keeps values out of the log.
func (l gormLog) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}

// Trace tells of a slow statement.
func (l gormLog) Trace(ctx context.Context, began time.Time, fc func() (string, int64), err error) {
	took := time.Since(began)
	if took < slowStatement || errors.Is(err, context.Canceled) {
		return
	}
	sql, _ := fc()
	l.log.WarnContext(ctx, "slow statement: "+sql, "took", took)
}
