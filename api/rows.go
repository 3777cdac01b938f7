package api

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/labstack/echo/v4"
)

// pieceSize is how long a piece of a long answer is, in bytes.
const pieceSize = 256 << 10

// answerRows answers a request that made many things with all of them. Each is
// encoded by itself into pieces: 50,000 tasks in one buffer that grows would
// take several times the memory of their text. All of it is encoded before
// anything is sent.
func answerRows[T, W any](c echo.Context, code int, rows []T, tell func(*T) W) error {
	var pieces [][]byte
	piece := bytes.NewBuffer(make([]byte, 0, min(pieceSize, 2048*(len(rows)+1))))
	e := json.NewEncoder(piece)
	e.SetEscapeHTML(false) // URLs stay readable
	length := 0
	piece.WriteByte('[')
	for i := range rows {
		if i > 0 {
			piece.WriteByte(',')
		}
		if err := e.Encode(tell(&rows[i])); err != nil {
			return err
		}
		piece.Truncate(piece.Len() - 1) // the encoder's line feed
		if piece.Len() > pieceSize*7/8 {
			length += piece.Len()
			pieces = append(pieces, piece.Bytes())
			*piece = *bytes.NewBuffer(make([]byte, 0, pieceSize))
		}
	}
	piece.WriteString("]\n")
	pieces = append(pieces, piece.Bytes())
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	h.Set(echo.HeaderContentLength, strconv.Itoa(length+piece.Len()))
	c.Response().WriteHeader(code)
	for _, p := range pieces {
		if _, err := c.Response().Write(p); err != nil {
			return err
		}
	}
	return nil
}
