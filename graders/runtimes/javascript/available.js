// What is not there for a check, and says so.

const DENIED = {
  fetch: "a check has no network",
  setTimeout: "a check has no clock",
  setInterval: "a check has no clock",
};

// Replaces what would need an operating system. Called once, while the component is built.
export function takeAway(scope) {
  for (const name in DENIED) {
    scope[name] = denied(name, DENIED[name]);
  }
  const noClock = DENIED.setTimeout;
  const Real = Date;
  const WithoutClock = function Date(...parts) {
    if (parts.length === 0 || new.target === undefined) {
      throw new Error(`the current Date does not work: ${noClock}`);
    }
    return Reflect.construct(Real, parts, new.target === WithoutClock ? Real : new.target);
  };
  WithoutClock.prototype = Real.prototype;
  WithoutClock.parse = Real.parse;
  WithoutClock.UTC = Real.UTC;
  WithoutClock.now = denied("Date.now", noClock);
  Real.prototype.constructor = WithoutClock;
  scope.Date = WithoutClock;
  scope.Math.random = seeded();
}

function denied(name, why) {
  return () => {
    throw new Error(`${name} does not work: ${why}`);
  };
}

// Mulberry32 from a fixed seed: a check that draws a sample draws it again in a dispute.
function seeded() {
  let state = 1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
