-- tests/spec/testing_json_spec.lua -- the JSON of perigee.testing: what is read can be written again.
package.path = "lua/?.lua;" .. package.path
local json = require "perigee.testing_json"

describe("the JSON of specs", function()
  it("comes back as it was", function()
    local text = '{"a":[],"b":{},"c":[1,null,{"x":-1500}],"d":"é\\u0001\\n","e":true,"f":false,"g":0.1,"h":1000000000000000,"i":0.30000000000000004}'
    assert.equal(text, json.encode(json.decode(text)))
    assert.equal("[ ]", (json.encode(json.decode " [ ] "):gsub("%[%]", "[ ]")))
    assert.same({ { { a = { 1, 2 } } } }, json.decode ' [ [ { "a" : [ 1 , 2 ] } ] ] ')
  end)

  it("knows all of Unicode", function()
    assert.equal("Aé€😀\n\\\"/", json.decode [["\u0041\u00e9\u20ac\ud83d\ude00\n\\\"\/"]])
    assert.equal("\127\194\128\223\191\224\160\128\239\191\191\240\144\128\128\244\143\191\191",
      json.decode [["\u007f\u0080\u07ff\u0800\uffff\ud800\udc00\udbff\udfff"]])
  end)

  it("refuses what it cannot say", function()
    local loop = {}
    loop.again = loop
    for _, value in ipairs { { 1, x = 2 }, { [2] = 1 }, { [true] = 1 }, 0 / 0, 1 / 0, print, loop } do
      assert.is_false((pcall(json.encode, value)))
    end
  end)
end)
