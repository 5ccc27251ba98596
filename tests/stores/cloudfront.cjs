// Runs config/cdn/cloudfront-function.js as CloudFront does: one event in, one request out. Reads a JSON
// list of requests from standard input, prints the list of what the function makes of them.
const fs = require('node:fs');
const vm = require('node:vm');

// Nothing of Node is there for it, as in CloudFront.
const sandbox = vm.createContext({});
vm.runInContext(fs.readFileSync(process.argv[2], 'utf8'), sandbox);
const requests = JSON.parse(fs.readFileSync(0, 'utf8'));
const answers = requests.map((request) => {
  sandbox.text = JSON.stringify({ version: '1.0', context: { eventType: 'viewer-request' }, viewer: { ip: '192.0.2.1' }, request });
  return JSON.parse(vm.runInContext('JSON.stringify(handler(JSON.parse(text)))', sandbox));
});
console.log(JSON.stringify(answers));
