-- The record of the benchmark: one key, one field.
model "Record" {
   username = key(),
   body = field{ type = "string" },
   options = { expires = "1d" },
}
