-- The records of bench/compose.c, which refer to each other.
model "Node" {
   id = key(),
   name = field{ type = "string" },
   email = field{ type = "string" },
   age = field{ type = "integer" },
   active = field{ type = "boolean" },
   rows = field{ type = "array" },
   note = field{ type = "string" },
   children = references{ "self" },
   options = { expires = "1d" },
}
