package explain

import "bellhop/routing"

func german(key string) string {
	switch key {
	case "origin.denied":
		return "Von dort, woher der Anruf kommt, darf {number} nicht angerufen werden."
	case "dial.number":
		return "Gewählt wurde {value}: das ist {number}."
	case "dial.user":
		return "Gewählt wurde {value}: die Hauptnummer dieser Person ist {number}."
	case "dial.group":
		return "Gewählt wurde {value}: das ist die Gruppe mit der Nummer {number}."
	case "group.member":
		return "{number} klingelt als Mitglied der Gruppe."
	case "group.skipped":
		return "{number} wird übergangen: die Person ist nicht da ({value})."
	case "group.skipped=caller":
		return "{number} wird übergangen: von dort kommt der Anruf."
	case "group.skipped=gone":
		return "{number} wird übergangen: die Nummer ist nicht in Betrieb."
	case "group.skipped=ring.once":
		return "{number} wird übergangen: dort hat es bei diesem Anruf schon geklingelt."
	case "group.skipped=forward.all":
		return "{number} wird übergangen: alle Anrufe dorthin werden umgeleitet."
	case "group.skipped=dnd":
		return "{number} wird übergangen: die Person möchte nicht gestört werden."
	case "group.skipped=busy":
		return "{number} wird übergangen: dort ist besetzt."
	case "group.skipped=" + noDev:
		return "{number} wird übergangen: kein Telefon der Nummer ist angemeldet."
	case "group.skipped=" + routing.NotHere:
		return "{number} wird übergangen: kein Telefon der Nummer ist von diesem Knoten aus erreichbar."
	case "group.overflow":
		return "Kein Mitglied der Gruppe {number} hat den Anruf angenommen: er geht an {to}."
	case "group.ring-time":
		return "Die Mitglieder der Gruppe {number} klingeln je {value}, zusammen länger, als ein Anruf klingeln darf: die letzten und der Überlauf kommen nicht an die Reihe."
	case "dial.contact":
		return "Gewählt wurde die Adresse eines Telefons von {number}: nur dieses, nach den Regeln von {number}."
	case "dial.device":
		return "Gewählt wurde {value}: nur dieses Gerät, nach den Regeln von {number}."
	case "dial.unknown":
		return "{number} ist hier nicht bekannt."
	case "dial.unknown-":
		return "{number} würde seine Anrufe an {value} schicken; das führt nirgendwohin."
	case "dial.trunk":
		return "Der Anruf geht über die Leitung {value} hinaus an {to}."
	case "dial.feature":
		return "{number} hat den Code für {value} gewählt."
	case "dial.service":
		return "{number} hat den Dienst {value} angerufen."
	case "dial.feature=forward_all":
		return "{number} hat mit einem Code alle Anrufe umgeleitet."
	case "dial.feature=forward_all_off":
		return "{number} hat mit einem Code die Umleitung aller Anrufe ausgeschaltet."
	case "dial.feature=forward_busy":
		return "{number} hat mit einem Code die Umleitung bei besetzt eingeschaltet."
	case "dial.feature=forward_busy_off":
		return "{number} hat mit einem Code die Umleitung bei besetzt ausgeschaltet."
	case "dial.feature=forward_no_answer":
		return "{number} hat mit einem Code die Umleitung eingeschaltet, wenn niemand abhebt."
	case "dial.feature=forward_no_answer_off":
		return "{number} hat mit einem Code die Umleitung ausgeschaltet, wenn niemand abhebt."
	case "dial.feature=dnd":
		return "{number} hat mit einem Code „Bitte nicht stören“ eingeschaltet."
	case "dial.feature=dnd_off":
		return "{number} hat mit einem Code „Bitte nicht stören“ ausgeschaltet."
	case "dial.feature=pickup":
		return "{number} hat den Code gewählt, mit dem man einen Anruf der eigenen Gruppe heranholt."
	case "dial.feature=directed_pickup":
		return "{number} hat den Code gewählt, mit dem man den Anruf heranholt, der bei {to} klingelt."
	case "dial.feature=no-pickup-group":
		return "{number} wollte einen Anruf der eigenen Gruppe heranholen, ist aber in keiner."
	case "dial.feature=no-common-group":
		return "{number} wollte den Anruf heranholen, der bei {to} klingelt, teilt mit {to} aber keine Gruppe."
	case "dial.feature=no-number":
		return "{number} wollte den Anruf heranholen, der bei {to} klingelt; das ist keine Nummer dieser Domäne."
	case "dial.feature=picked-up":
		return "{number} hat den Anruf herangeholt, der bei {to} klingelte."
	case "dial.feature=not-picked-up":
		return "{number} bekam keinen Anruf: es gab keinen, oder jemand war schneller."
	case "dial.feature=voicemail", "dial.service=voicemail":
		return "{number} hat die eigene Sprachbox gewählt; es gibt aber noch keine."
	case "dial.feature=park", "dial.feature=retrieve", "dial.service=park_slot":
		return "{number} wollte einen Anruf parken oder zurückholen; das geht noch nicht."
	case "dial.service=conference":
		return "{number} wollte in eine Konferenz; es gibt noch keine."
	case "dial.feature=no-digits":
		return "{number} hat einen Code gewählt, dem eine Nummer folgen muss."
	case "dial.feature=wrong-digits":
		return "{number} hat einen Code gewählt, dem keine Nummer folgt."
	case "dial.feature=no-target":
		return "{number} hat mit einem Code umleiten wollen, aber kein Ziel: es wird nach dem Code gewählt."
	case "dial.feature=no-user":
		return "{number} hat den Code einer persönlichen Einstellung gewählt und gehört niemandem."
	case "forward.loop-refused-":
		return "{number} wird nicht umgeleitet: das schlösse den Kreis {value}."
	case "reference.missing-":
		return "{number} wird nicht an {value} umgeleitet: das gibt es nicht."
	case "busy.exclusive-":
		return "{number} wird bei besetzt nicht umgeleitet, denn Anklopfen ist eingeschaltet: nur eines von beiden geht."
	case "forward.authorization-code-":
		return "{number} wird nicht umgeleitet, denn es telefoniert nur mit Berechtigungscode."
	case "dial.emergency":
		return "{number} ist eine Notrufnummer: der Anruf geht sofort über die Leitung {value} hinaus, was auch eingestellt ist."
	case "dial.emergency=no-trunk":
		return "{number} ist eine Notrufnummer, aber keine Leitung führt hinaus."
	case "dial.emergency=" + routing.CallBack:
		return "{number} hat in der letzten Stunde einen Notruf abgesetzt: ein Anruf von außen kommt durch, was dort auch eingestellt ist."
	case "number.state":
		return "{number} ist nicht in Betrieb: von dort gehen nur Notrufe."
	case "anchor.domain":
		return "Der Anruf verlässt die Domäne über die Leitung {value} an {to}."
	case "class-of-service":
		return "Die Berechtigung von {number} erlaubt keinen Anruf an {value}."
	case "authorization-code":
		return "{number} telefoniert nach außen nur mit Berechtigungscode, nach dem dieser Server noch nicht fragen kann: {value} wird nicht angerufen."
	case "target.class":
		return "{number} würde seine Anrufe an {value} schicken; die Berechtigung zum Umleiten erlaubt das nicht."
	case "forward.all":
		return "{number} leitet alle Anrufe an {to} um."
	case "forward.busy":
		return "{number} ist besetzt und leitet an {to} um."
	case "forward.no-answer":
		return "Bei {number} hat niemand abgehoben; dann wird an {to} umgeleitet."
	case "forward.unreachable":
		return "Kein Telefon von {number} war zu erreichen; dann wird an {to} umgeleitet."
	case "forward.override":
		return "{number} schickt seine Anrufe an {value}, und von dort kommt der Anruf: er kommt durch."
	case "forward.loop-breakout":
		return "{number} leitet an {value} um, wo der Anruf schon war: stattdessen klingelt {number}."
	case "forward.too-many":
		return "Der Anruf wurde zehnmal umgeleitet; {number} leitet ihn nicht noch einmal um."
	case "forward.external-loop":
		return "Der Anruf kommt aus einem anderen Netz zurück, wohin {value} ihn geschickt hat: nur die Telefone von {number} klingeln."
	case "forward.external-loop-":
		return "{number} schickt den Anruf nicht an {value}: es sind schon so viele umgeleitete Anrufe nach außen, wie es sein dürfen."
	case "device.redirect":
		return "Ein Telefon von {number} schickt den Anruf weiter an {to}."
	case "callme":
		return "Die Anrufe von {number} kommen an {to} an (CallMe)."
	case "callme-":
		return "Die Anrufe von {number} kämen an {value} an (CallMe), aber nur bei Anwesenheit im Büro."
	case "callme.unusable":
		return "Die Anrufe von {number} kämen an {value} an (CallMe), aber das schickt seine Anrufe selbst weiter."
	case "limit.calls":
		return "{value} hat schon so viele Gespräche nach außen, wie es gleichzeitig sein dürfen."
	case "limit.attempts":
		return "{value} hat in einer Minute so viele Anrufe nach außen begonnen, wie es sein dürfen."
	case "limit.minutes":
		return "{value} hat die Minuten für solche Anrufe heute verbraucht."
	case "limit.calls-":
		return "{number} schickt den Anruf nicht an {value}: es gibt schon so viele Gespräche nach außen, wie es gleichzeitig sein dürfen."
	case "limit.attempts-":
		return "{number} schickt den Anruf nicht an {value}: in einer Minute wurden so viele Anrufe nach außen begonnen, wie es sein dürfen."
	case "limit.minutes-":
		return "{number} schickt den Anruf nicht an {value}: die Minuten für solche Anrufe sind heute verbraucht."
	case "snr":
		return "{to} klingelt mit den Telefonen von {number}."
	case "snr.schedule":
		return "{value} klingelt um diese Zeit nicht mit den Telefonen von {number}."
	case "snr.callers":
		return "{value} klingelt bei Anrufen von dort nicht mit den Telefonen von {number}."
	case "snr.too-soon":
		return "Eine zu schnelle Antwort würde für die Sprachbox von {value} gehalten; dieser Server erkennt das noch nicht und nimmt jede Antwort."
	case "snr.screened":
		return "Wer bei {value} abhebt, würde nach einer Ziffer gefragt; dieser Server kann das noch nicht und nimmt jede Antwort."
	case "snr.ring-time":
		return "{number} hört auf zu klingeln, bevor {value} seine Zeit hatte."
	case "snr.inbound":
		return "Der Anruf von {value} kommt von einem eigenen Telefon der Person mit der Nummer {number} und wird als {number} gezeigt."
	case "presence.forward":
		return "Die Person mit der Nummer {number} ist nicht da und schickt Anrufe an {to}."
	case "presence.forward-":
		return "Die Person mit der Nummer {number} ist nicht da und würde Anrufe an {value} schicken, möchte aber nicht gestört werden."
	case "dnd":
		return "Die Person mit der Nummer {number} möchte nicht gestört werden."
	case "dnd=ringer-off":
		return "Die Person mit der Nummer {number} möchte nicht gestört werden: die Telefone bleiben stumm."
	case "dnd=reject":
		return "Die Person mit der Nummer {number} möchte nicht gestört werden: Anrufe werden abgewiesen."
	case "busy":
		return "{number} ist besetzt."
	case "voicemail=later":
		return "Wenn niemand abhebt, würde die Sprachbox von {number} den Anruf annehmen; es gibt aber noch keine."
	case "voicemail":
		return "Die Sprachbox von {number} würde den Anruf annehmen; es gibt aber noch keine."
	case "ring.devices":
		return "Die Telefone von {number} klingeln."
	case "ring.devices=" + noDev:
		return "Kein Telefon von {number} ist angemeldet."
	case "ring.devices=" + routing.NotHere:
		return "Kein Telefon von {number} ist von diesem Knoten aus zu erreichen."
	case "ring.once":
		return "Bei {number} hat es während dieses Anrufs schon geklingelt."
	case "ring.elsewhere":
		return "{to} von {number} ist am Knoten {value} angemeldet: von hier aus ist es nur über UDP zu erreichen, unter der Adresse, mit der es sich angemeldet hat."
	case "ring.final":
		return "Bei {number} kann niemand den Anruf annehmen."
	case "call.anchored":
		return "Der Anruf an {number} läuft von Ende zu Ende durch diesen Server ({value})."
	case "call.answered":
		return "{to} ({number}) hat nach {value} abgehoben."
	case "call.taken":
		return "Der Anruf wurde nach {value} angenommen."
	case "call.ended":
		return "Der Anruf endete: {value}."
	case "call.ended=busy":
		return "Der Anruf endete: besetzt."
	case "call.ended=no-answer":
		return "Niemand hat abgehoben."
	case "call.ended=unreachable":
		return "Niemand war zu erreichen."
	case "call.ended=declined":
		return "Der Anruf wurde abgelehnt."
	case "call.ended=caller-gave-up":
		return "Wer anrief, hat aufgelegt, bevor jemand abhob."
	case "call.ended=refused":
		return "Der Anruf wurde abgewiesen."
	case "call.ended=lost":
		return "Der Anruf ging verloren, als dieser Server neu startete."
	case "leg.rang":
		return "{to} ({number}) hat {value} lang geklingelt."
	case "leg.busy":
		return "{to} ({number}) war besetzt."
	case "leg.declined":
		return "Der Anruf wurde an {to} ({number}) abgelehnt."
	case "leg.failed":
		return "{to} ({number}) war nicht zu erreichen."
	default:
		return ""
	}
}
