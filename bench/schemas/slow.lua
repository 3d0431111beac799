-- What the stampede asks for: a record that its loader brings after a while.
model "Slow" {
   username = key(),
   body = field{ type = "string" },
   options = { expires = "1d" },
   from_miss = function(self)
      self.body = http.get(env("BENCH_LOADER", "") .. "?username=" .. self.username):json().body
   end,
}
