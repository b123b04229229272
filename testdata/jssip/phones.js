// Browser softphones without a browser: JsSIP over a WebSocket of Node, and a peer
// connection that moves no sound; it speaks of plain RTP, so that desk phones answer
// it. They answer every call, do what comes on standard input ("1001 call
// sip:1003@bellhop.test", "1001 hangup"), and say what happens on standard output.
//
//   node phones.js wss://HOST:PORT/sip CERT.pem PASSWORD NUMBER...
'use strict'
const fs = require('fs')
const readline = require('readline')
const WebSocket = require('ws')

const [url, cert, password, ...numbers] = process.argv.slice(2)
const ca = fs.readFileSync(cert)

globalThis.window = globalThis
globalThis.WebSocket = class extends WebSocket {
  constructor (to, subprotocol) {
    super(to, subprotocol, { ca, origin: new URL(to).origin.replace('wss:', 'https:') })
  }
}

const sdp = (id) => `v=0\r\no=- ${id} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8 0\r\na=sendrecv\r\n`

globalThis.RTCPeerConnection = class {
  constructor () {
    this.signalingState = 'stable'
    this.iceGatheringState = 'complete'
    this.iceConnectionState = 'connected'
  }

  addEventListener (name, then) { if (name === 'icecandidate') setTimeout(() => then({ candidate: null }), 10) }
  removeEventListener () {}
  addTrack () {}
  getSenders () { return [] }
  getReceivers () { return [] }
  createOffer () { return Promise.resolve({ type: 'offer', sdp: sdp(1) }) }
  createAnswer () { return Promise.resolve({ type: 'answer', sdp: sdp(2) }) }
  setLocalDescription (d) { this.localDescription = d; return Promise.resolve() }
  setRemoteDescription (d) { this.remoteDescription = d; return Promise.resolve() }
  close () { this.signalingState = 'closed' }
}
globalThis.RTCSessionDescription = function (d) { return d }

const JsSIP = require('jssip')
const stream = { getTracks: () => [] }
const say = (...words) => console.log(words.join(' '))
const phones = {}

for (const number of numbers) {
  const ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(url)],
    uri: `sip:${number}@bellhop.test`,
    authorization_user: `web-${number}`,
    password
  })
  const phone = phones[number] = { ua }
  ua.on('registered', () => say(number, 'registered', ua.contact.pub_gruu))
  ua.on('unregistered', () => say(number, 'unregistered'))
  ua.on('registrationFailed', (e) => say(number, 'registration failed', e.cause))
  ua.on('newRTCSession', ({ session, originator }) => {
    phone.session = session
    for (const what of ['progress', 'confirmed', 'ended', 'failed']) {
      session.on(what, (e) => say(number, what, (e && e.originator) || '', (e && e.cause) || ''))
    }
    if (originator === 'remote') {
      say(number, 'rings', session.remote_identity.uri.user)
      setTimeout(() => session.answer({ mediaStream: stream }), 100)
    }
  })
  ua.start()
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [number, what, to] = line.split(' ')
  if (what === 'call') phones[number].ua.call(to, { mediaStream: stream })
  if (what === 'hangup') phones[number].session.terminate()
}).on('close', () => {
  for (const { ua } of Object.values(phones)) ua.stop()
  setTimeout(() => process.exit(0), 500)
})
